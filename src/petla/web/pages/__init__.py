"""One file per page: what it shows, from use cases to a frozen context."""
