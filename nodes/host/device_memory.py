"""Memory of an accelerator, which training shares with the host's own models."""

from __future__ import annotations

from collections.abc import Sequence

import comfy.model_management
import torch


def pages(patcher) -> bool:
    """Whether the host keeps this model's weights off the device and pages them in as they are used."""
    return hasattr(patcher, "is_dynamic") and patcher.is_dynamic()


def make_room(device: torch.device, keep: Sequence = ()) -> None:
    """Let the host move its own models off an accelerator; it loads them again when it needs them.

    The models of the patchers ``keep`` stay where they lie, as private copies share their memory.
    """
    if device.type != "cpu":
        kept = [patcher.model for patcher in keep if not pages(patcher)]
        here = [m for m in comfy.model_management.current_loaded_models if m.model is not None]
        comfy.model_management.free_memory(1e30, device, [m for m in here if any(m.model.model is k for k in kept)])


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that a device's memory ran out, in the words of torch, the host or a driver."""
    host_knows = getattr(comfy.model_management, "is_oom", None)
    if isinstance(error, torch.OutOfMemoryError) or (host_knows is not None and host_knows(error)):
        return True
    return isinstance(error, RuntimeError) and "out of memory" in str(error).lower()
