"""md5, DVC's identity, in a process of its own."""
