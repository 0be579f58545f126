"""Hooks for one model call, which also act in compiled models and are removed whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def call_hooks() -> Iterator[ExitStack]:
    """A stack for the hooks' removal.

    A compiled model would keep running what it compiled before: it does not look for new hooks. Such models run
    uncompiled here, slower and never wrong (from PyTorch 2.6 on, which can say so).
    """
    with ExitStack() as stack:
        if hasattr(torch.compiler, "set_stance"):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield stack
