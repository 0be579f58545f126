"""What both judging nodes are given: settings of the host's sampler, pictures, and a judge for them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..families.family import family_of
from ..host.applying import InEffect
from ..host.naming import Naming
from ..training.pictures import Shot, shots
from .drawing import Studio, size_of
from .judges import Judge, ModelJudge, VisionJudge
from .point import Point

SAMPLER = ("seed", "steps", "cfg", "sampler_name", "scheduler", "denoise")


def one_of_each(inputs: Mapping[str, list], lists: Sequence[str], node: str) -> dict[str, Any]:
    """The single values of a node that takes lists; those named in ``lists`` stay lists. Raises ValueError for more."""
    for name, values in inputs.items():
        if name not in lists and len(values) != 1:
            raise ValueError(
                f"The input {name} of {node} got a list of {len(values)}; expected one value. Only "
                f"{' and '.join(lists)} may be lists."
            )
    return {name: values if name in lists else values[0] for name, values in inputs.items()}


def studio_of(one: Mapping[str, Any]) -> Studio:
    """The settings of the host's sampler. Raises ValueError if it would take no step."""
    if one["denoise"] == 0:
        raise ValueError("denoise is 0, so every picture would be latent_image as it is. Set denoise above 0.")
    size = size_of(one["model"], one["latent_image"])
    return Studio(one["vae"], one["latent_image"], **{name: one[name] for name in SAMPLER}, size=size)


def connected_pictures(one: Mapping[str, Any]) -> list[Shot]:
    """The user's pictures at the drawing's size; none if none are connected."""
    images, masks = one.get("images"), one.get("masks")
    if images is None:
        for name in ("masks", "clip_vision"):
            if one.get(name) is not None:
                raise ValueError(
                    f"{name} is connected and images is not, so nothing can be scored. Connect the training pictures "
                    f"to images, or disconnect {name}."
                )
        return []
    side = round(math.sqrt(math.prod(size_of(one["model"], one["latent_image"]))))
    multiple, _smallest = family_of(one["model"]).sides
    return shots(as_list(images), as_list(masks), side, multiple)


def as_list(value: Any) -> list:
    """None as an empty list, one value as a list of one."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def judge_of(
    one: Mapping[str, Any], point: Point, prompts: Sequence[str], pictures: Sequence[Shot], naming: Naming
) -> Judge | None:
    """A judge by CLIP_VISION if it is connected, else by the model itself; none without pictures."""
    if not pictures:
        return None
    if one.get("clip_vision") is not None:
        return VisionJudge(one["clip_vision"], one["clip"], point.concept.superclass, prompts, pictures)
    return ModelJudge(one["model"], one["clip"], one["vae"], point, prompts, pictures, one["seed"], naming)


def said_of(effects: Sequence[InEffect]) -> list[str]:
    """What is to be said before anything is drawn: of any concept, and of settings that are idle in all ``effects``.
    """
    idle = [sentence for sentence in effects[0].idle if all(sentence in effect.idle for effect in effects)]
    return list(dict.fromkeys([*(warning for effect in effects for warning in effect.warnings), *idle]))


def said_while_drawing(effects: Sequence[InEffect]) -> list[str]:
    """What else turned out."""
    return list(dict.fromkeys(filter(None, (effect.naming.complaints for effect in effects))))
