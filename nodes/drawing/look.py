"""Colours of the pack's pictures."""

INK, GREY, PALE, EDGE = "#1f2430", "#6a7180", "#e9ebf0", "#d5d9e2"
PAPER, WHITE = "#fbfbfd", "#ffffff"
COLOURS = ("#1d5fd1", "#c2570c", "#0b7d67", "#8a3fb5", "#a12a4a")
"""One for each concept; told apart with any colour vision, and dark enough for white text."""
