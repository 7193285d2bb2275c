"""What runs, and who may ask it."""
