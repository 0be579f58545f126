"""Which of the host's kinds of sampling a model has: told by what it computes, not by what it descends from."""

from __future__ import annotations

from collections.abc import Callable


def denoising(sampling) -> Callable | None:
    """How a model's sampling makes a picture of a prediction; LCM and x0 prediction descend from noise prediction."""
    return getattr(type(sampling), "calculate_denoised", None)


def another_kind(sampling, expected: str, title: str) -> ValueError:
    """The refusal of a model of the family ``title`` that samples by another kind than training knows."""
    kinds = " and ".join(kind.__name__ for kind in type(sampling).__bases__)
    return ValueError(
        f"The model samples by {kinds}; training expects {expected}, as {title} has. Connect the model directly from "
        "its loader."
    )
