"""Prompt templates: a sentence with one ``{}`` where the concept, or its superclass, is named."""

from __future__ import annotations

SLOT = "{}"

DEFAULT_TEMPLATES = (
    "a photo of a {}",
    "a close-up photo of a {}",
    "a cropped photo of the {}",
    "a photo of my {}",
    "a photo of the {}",
    "a bright photo of the {}",
    "a dark photo of a {}",
    "a photo of a nice {}",
    "a photo of one {}",
    "a good photo of the {}",
    "a rendition of a {}",
    "a picture of the {}",
    "an image of a {}",
    "a depiction of the {}",
    "the photo of a small {}",
    "a photo of a clean {}",
)


def split_template(template: str) -> tuple[str, str]:
    """What stands before and after the slot. Raises ValueError unless there is exactly one ``{}``."""
    parts = template.split(SLOT)
    if len(parts) != 2:
        raise ValueError(
            f"The template {template!r} has {len(parts) - 1} places for the concept; write exactly one {SLOT}, as in "
            f"{DEFAULT_TEMPLATES[0]!r}."
        )
    return parts[0], parts[1]


def fill_template(template: str, words: str) -> str:
    """``template`` with ``words`` in its slot."""
    before, after = split_template(template)
    return f"{before}{words}{after}"
