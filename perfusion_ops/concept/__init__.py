"""A concept and its file."""
