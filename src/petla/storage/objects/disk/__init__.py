"""Files of the disk: `uncached` (past the page cache), `filling` (from the store), `landing` (while they arrive)."""
