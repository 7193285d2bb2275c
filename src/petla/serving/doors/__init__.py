"""What passes the doors of the data plane: bytes in, checked rows; scores out, bytes."""
