"""What the nodes' schemas share."""

from __future__ import annotations

from collections.abc import Callable

from comfy_api.latest import io

from .host import folders
from .host.widgets import KEY_LOCKINGS

CATEGORY = "Perfusion"
ConceptIO = io.Custom("PERFUSION_CONCEPT")
StatisticsIO = io.Custom("PERFUSION_STATISTICS")
ScheduleIO = io.Custom("PERFUSION_SCHEDULE")


def schema(search_aliases: list[str], **fields) -> io.Schema:
    """A node's schema in our category; hosts that know search aliases get them."""
    known = {"search_aliases": search_aliases} if hasattr(io.Schema, "__dataclass_fields__") else {}
    known = {name: value for name, value in known.items() if name in io.Schema.__dataclass_fields__}
    return io.Schema(category=CATEGORY, **known, **fields)


def is_there(find: Callable[[str], object], choice: str | None) -> bool | str:
    """What a node's validation answers for a file or folder that ``find`` finds, or raises ValueError for.

    A choice that another node gives is none as yet: it is looked for when the node runs.
    """
    try:
        return choice is None or bool(find(choice))
    except ValueError as error:
        return str(error)


def expert(widget: io.Input) -> io.Input:
    """The same input, hidden until a user shows the advanced inputs."""
    widget.extra_dict["advanced"] = True
    return widget


def concept_file_input(name: str, tooltip: str) -> io.Input:
    """A choice among the concept files. By its mark the browser adds their pictures; the value is a file's name."""
    choice = io.Combo.Input(name, options=folders.concept_names(), tooltip=tooltip)
    choice.extra_dict["perfusion_concept_file"] = True
    return choice


def bias_input(default: float, tooltip: str) -> io.Input:
    return io.Float.Input("bias", default=default, min=-1.0, max=2.0, step=0.01, tooltip=tooltip)


def temperature_input(default: float, tooltip: str) -> io.Input:
    return expert(io.Float.Input("temperature", default=default, min=0.01, max=1.0, step=0.01, tooltip=tooltip))


def strength_input(tooltip: str, name: str = "visual_strength") -> io.Input:
    return io.Float.Input(name, default=1.0, min=0.0, max=3.0, step=0.05, tooltip=tooltip)


def seed_input(tooltip: str) -> io.Input:
    """A seed that stays as it is: another one is another result."""
    limits = {"default": 0, "min": 0, "max": 2**63 - 1}
    return io.Int.Input("seed", **limits, control_after_generate=False, tooltip=tooltip)


def key_locking_input() -> io.Input:
    return io.Combo.Input(
        "key_locking",
        options=list(KEY_LOCKINGS),
        default="local",
        tooltip="Where the concept's keys come from. local: its word attends like the superclass (the paper's "
        "default). global gated, global pure: the whole prompt attends as if it named the superclass; for "
        "scenes and activities, with a bias of 0.4 to 0.6. exact: like local, but the key is exactly the "
        "superclass's. off: keys are not locked.",
    )


def percent_input(name: str, default: float, tooltip: str) -> io.Input:
    """A share of sampling."""
    return io.Float.Input(name, default=default, min=0.0, max=1.0, step=0.01, tooltip=tooltip)


def shift_input(name: str, tooltip: str, optional: bool = False) -> io.Input:
    """What is added to a gate's bias."""
    return io.Float.Input(name, optional=optional, tooltip=tooltip, default=0.0, min=-2.0, max=2.0, step=0.01)


def schedule_input(without: str) -> io.Input:
    """A schedule to connect; ``without`` says where the dials are then set alone."""
    return ScheduleIO.Input(
        "schedule",
        optional=True,
        tooltip="From Perfusion Schedule: visual_strength and bias change during sampling. Not connected: they stay as "
        f"{without}.",
    )
