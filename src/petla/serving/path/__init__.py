"""The way of a request from its door to its answer: which version is asked, what it says, and that it is recorded."""
