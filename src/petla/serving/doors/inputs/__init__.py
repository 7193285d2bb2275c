"""What values may be, and how they are read where they do not come as JSON."""
