"""Forward hooks that let an edit take effect in any model with cross-attention projections, weights untouched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn

from .context import EditedContext
from .equations import add_value_delta

Projections = Mapping[str, tuple[nn.Module, nn.Module]]
"""Layer name -> its key and value projections, (to_k, to_v)."""
Observer = Callable[[str, Tensor, Tensor], None]
"""(name of a residual, as checkpoints have it; what it is added to, (B, T, d); gates (B, T, J))."""


class InjectedEdit:
    """What the hooked projections use at their next call; nothing until ``use`` is called."""

    def __init__(self) -> None:
        self.observer: Observer | None = None
        """Told of keys and values before residuals are added."""
        self.clear()

    def use(
        self,
        context: EditedContext,
        value_residuals: Mapping[str, Tensor],
        key_residuals: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Edit the next forwards with ``context`` and, per layer, residuals of shape (J, d_out)."""
        self.context = context
        self.value_residuals = value_residuals
        self.key_residuals = key_residuals or {}

    def clear(self) -> None:
        """Leave the next forwards alone."""
        self.context: EditedContext | None = None
        self.value_residuals: Mapping[str, Tensor] = {}
        self.key_residuals: Mapping[str, Tensor] = {}


@contextmanager
def inject(projections: Projections, reading: bool = True) -> Iterator[InjectedEdit]:
    """``with inject(projections) as injected: injected.use(context, residuals); model(...)``.

    Keys become ``W_K k_n`` and values ``W_V v_n + sum_j g_jn r_j`` (eq. 3), with k, v and g those of the context.
    A pre-hook hands each projection the edited context in place of its input; a hook adds the residuals to its
    output, in the output's dtype. Not ``reading``, projections keep the input that the model gives them. Every hook is
    removed on leaving, whatever happens inside.
    """
    injected = InjectedEdit()
    handles = []
    try:
        for layer, (to_k, to_v) in projections.items():
            if reading:
                handles.append(to_k.register_forward_pre_hook(_reader(injected, "keys")))
                handles.append(to_v.register_forward_pre_hook(_reader(injected, "values")))
            handles.append(to_k.register_forward_hook(_adder(injected, "key_residuals", layer)))
            handles.append(to_v.register_forward_hook(_adder(injected, "value_residuals", layer)))
        yield injected
    finally:
        for handle in handles:
            handle.remove()


def _reader(injected: InjectedEdit, part: str):
    def read_edited_context(_module: nn.Module, args: tuple):
        if injected.context is None:
            return None
        return (getattr(injected.context, part).to(args[0].dtype), *args[1:])

    return read_edited_context


def _adder(injected: InjectedEdit, part: str, layer: str):
    def add_residuals(_module: nn.Module, _args: tuple, output: Tensor):
        residuals = getattr(injected, part).get(layer)
        if injected.context is None or residuals is None:
            return None
        if injected.observer is not None:
            injected.observer(f"{part}/{layer}", output, injected.context.gates)
        return add_value_delta(output, injected.context.gates, residuals)

    return add_residuals
