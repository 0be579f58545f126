"""Sweep and Evaluate's own scores, tried where the reader knows the truth."""
