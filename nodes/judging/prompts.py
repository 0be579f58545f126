"""The prompts that pictures are judged on: the user's, or some of the paper's kind."""

from __future__ import annotations

from ...perfusion_ops.text.prompts import split_template

KINDS = {
    "animal": (
        "a photo of a {} on a beach",
        "a photo of a {} in the snow",
        "a {} wearing a red hat",
        "an oil painting of a {}",
        "a {} sleeping on a sofa",
        "a photo of a {} beside a bicycle",
    ),
    "object": (
        "a photo of a {} on a wooden table",
        "a photo of a {} in the snow",
        "a photo of a {} on a mossy stone in a forest",
        "a watercolor painting of a {}",
        "a cat sitting beside a {}",
        "a {} in a shop window at night",
    ),
    "person": (
        "a photo of a {} in front of the Eiffel Tower",
        "a photo of a {} as a chef in a kitchen",
        "a {} riding a bicycle",
        "a pencil drawing of a {}",
        "a {} wearing a yellow raincoat in the rain",
        "a photo of a {} holding a cup of coffee",
    ),
}
"""The kinds of Tewel et al. 2023, section 5: another place, a style, an activity, something else beside."""


def prompts_of(text: str, kind: str) -> list[str]:
    """One prompt on each line, with ``{}`` for the subject; empty: the kind's. Raises ValueError without ``{}``."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or list(KINDS[kind])
    for line in lines:
        split_template(line)
    return list(dict.fromkeys(lines))
