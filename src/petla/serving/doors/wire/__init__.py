"""HTTP of one connection, from the bytes to the application and back."""
