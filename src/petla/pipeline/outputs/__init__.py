"""What steps return: kinds of frames, the formats they are kept in, and the cache."""
