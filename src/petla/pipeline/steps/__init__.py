"""What a project's code says about its steps, read without importing it."""
