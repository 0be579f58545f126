"""How often a call makes an accelerator wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch

READINGS = ("cpu", "item", "tolist", "numpy")
"""Calls that bring numbers of a tensor to Python: on an accelerator each waits for all that was asked of it before."""


@contextmanager
def readings() -> Iterator[list[int]]:
    """Grows by 1 at every reading."""
    counted: list[int] = []

    def counting(name: str):
        plain = getattr(torch.Tensor, name)
        return lambda tensor, *arguments, **more: counted.append(1) or plain(tensor, *arguments, **more)

    with ExitStack() as stack:
        for name in READINGS:
            stack.enter_context(mock.patch.object(torch.Tensor, name, counting(name)))
        yield counted
