"""Prompts, the caption corpus, and the text encoder's uncentered covariance."""
