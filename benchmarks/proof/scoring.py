"""What a reading of a picture says about a prompt: pure functions, shared with the demo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pixelworld.captions import Caption
from pixelworld.reader import Reading


def attributes_right(caption: Caption, reading: Reading) -> dict[str, bool]:
    """Attribute the caption names -> whether the picture shows it. The figures' classes are left out."""
    figures = [f for f in reading.figures if not caption.partner or f.class_word == caption.class_word]
    figure = figures[0] if figures else None
    right = {}
    if caption.place:
        right["place"] = reading.place == caption.place
    if caption.position:
        right["position"] = figure is not None and figure.position == caption.position
    if caption.accessory:
        right["accessory"] = figure is not None and figure.accessory == caption.accessory
    if caption.object:
        right["object"] = reading.object == caption.object
    if caption.object_colour:
        right["object_colour"] = right["object"] and reading.object_colour == caption.object_colour
    return right


def scaled_identity(raw: float, class_word: float, ceiling: float) -> float:
    """0 for what the class word alone gives, 1 for the reader's ceiling on rendered pictures of the individual."""
    return (raw - class_word) / (ceiling - class_word)


def diversity(pictures: Sequence[np.ndarray]) -> float:
    """Mean absolute pixel difference over all pairs of pictures (N, h, w, 3) in [0, 1]; 0 for fewer than two."""
    pairs = [np.abs(a - b).mean() for index, a in enumerate(pictures) for b in pictures[:index]]
    return float(np.mean(pairs)) if pairs else 0.0


def nearest_distance(picture: np.ndarray, training: Sequence[np.ndarray]) -> float:
    """Mean absolute pixel difference to the nearest training picture."""
    return float(min(np.abs(picture - other).mean() for other in training))
