"""What becomes of a request whose version failed: who is to blame, who answers instead, who is left alone."""
