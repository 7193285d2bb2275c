"""Rules that a profile cannot answer: they read the rows, some at a time, in bounded memory."""
