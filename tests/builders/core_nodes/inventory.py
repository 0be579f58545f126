"""Which core nodes, samplers and guiders there are, and what their inputs are filled with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

CARRIERS = ("MODEL", "CLIP", "CONDITIONING")
"""What a concept travels in."""
SMALL = {"width": 64, "height": 64, "length": 1, "batch_size": 1}
"""Sizes of our own: what a node makes by the way must not take minutes."""
NOT_CORE = ("custom_nodes", "comfy_api_nodes")


@dataclass(frozen=True)
class Row:
    """One thing of the core beside the concept."""

    kind: str
    """node, sampler or guider."""
    name: str
    places: tuple[str, ...] = ("after",)
    """Where it stands in a workflow: before Apply Key-Locked Attention, after it."""


class NoSource(ValueError):
    """An input that nothing can be wired to. Its text is the input's type."""


def rows(info: dict[str, dict]) -> list[Row]:
    """Every row the running host has, in the order it lists them."""
    core = {name: node for name, node in info.items() if node["python_module"].split(".")[0] not in NOT_CORE}
    nodes = [Row("node", name, places(node)) for name, node in core.items() if passes_on(node)]
    samplers = [Row("sampler", name) for name in options(info["KSampler"]["input"]["required"]["sampler_name"])]
    guiders = [
        Row("guider", name) for name, node in core.items() if "GUIDER" in node["output"] and takes(node, ("MODEL",))
    ]
    return nodes + samplers + guiders


def passes_on(node: dict) -> bool:
    return takes(node, CARRIERS) and any(kind in CARRIERS for kind in node["output"])


def takes(node: dict, kinds: tuple[str, ...]) -> bool:
    return any(kind_of(specification) in kinds for _name, specification in inputs(node))


def places(node: dict) -> tuple[str, ...]:
    """A prompt is encoded after Apply, so what gives one can only stand there."""
    return ("after",) if "CONDITIONING" in node["output"] else ("before", "after")


def inputs(node: dict, groups: tuple[str, ...] = ("required", "optional")) -> Iterator[tuple[str, list]]:
    for group in groups:
        yield from node["input"].get(group, {}).items()


def kind_of(specification: list) -> str:
    """The type of an input; of several that it takes, the first."""
    kind = specification[0]
    return "COMBO" if isinstance(kind, list) else kind.split(",")[0]


def options(specification: list) -> list:
    return specification[0] if isinstance(specification[0], list) else specification[1].get("options", [])


def widget_value(node: dict, name: str, specification: list, text: str) -> Any:
    """The value of an input with a widget: our size, the prompt, its default, or the first there is."""
    kind, extra = kind_of(specification), specification[1] if len(specification) > 1 else {}
    if kind == "COMBO":
        choices = options(specification)
        if not choices:
            raise NoSource(f"a file for {name}")
        return extra["default"] if extra.get("default") in choices else choices[0]
    if kind == "STRING" and takes(node, ("CLIP",)):
        return "" if "negative" in name else text
    if kind == "INT" and name in SMALL:
        return max(SMALL[name], extra.get("min", 0))
    empty = {"INT": extra.get("min", 0), "FLOAT": extra.get("min", 0.0), "STRING": "", "BOOLEAN": False}
    if kind not in empty:
        raise NoSource(kind)
    return extra.get("default", empty[kind])


def sample_of(every: list[Row], always: frozenset[str], listed: str, size: int) -> list[Row]:
    """``size`` rows: the ones ``always`` tried, those that the table ``listed`` does not know, others by their hash."""

    def place(row: Row) -> tuple:
        digest = hashlib.sha256(f"{row.kind} {row.name}".encode()).hexdigest()
        return (row.name not in always, f"| {row.kind} | {row.name} |" in listed, digest)

    return sorted(every, key=place)[:size]
