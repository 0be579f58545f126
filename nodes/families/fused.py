"""Keys and values that a host projects with one matrix, hooked each as if it stood alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class Half(nn.Module):
    """The first or the second half of the outputs of ``whole``, with the hooks of a projection of its own.

    What a pre-hook reads goes to this half alone; the other half reads on what the host gave.
    """

    def __init__(self, whole: nn.Module, first: bool) -> None:
        super().__init__()
        self.whole, self.in_features, self.out_features = whole, whole.in_features, whole.out_features // 2
        self.outputs = slice(0, self.out_features) if first else slice(self.out_features, None)

    def forward(self, x: Tensor) -> Tensor:
        """This half (..., out_features)."""
        return self.whole(x)[..., self.outputs]

    def register_forward_pre_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(module, args)`` gives what this half reads instead, or none."""

        def read(whole: nn.Module, args: tuple, output: Tensor) -> Tensor:
            given = hook(self, args)
            return output if given is None else self._with(output, whole.forward(*given)[..., self.outputs])

        return self.whole.register_forward_hook(read)

    def register_forward_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(module, args, output)`` gives another output of this half, or none."""

        def change(_whole: nn.Module, args: tuple, output: Tensor) -> Tensor:
            changed = hook(self, args, output[..., self.outputs])
            return output if changed is None else self._with(output, changed)

        return self.whole.register_forward_hook(change)

    def _with(self, output: Tensor, half: Tensor) -> Tensor:
        """``output`` with this half replaced, in the shape of ``half``."""
        output = output.reshape(*half.shape[:-1], 2 * self.out_features)
        other = output[..., self.out_features :] if self.outputs.start == 0 else output[..., : self.out_features]
        return torch.cat((half, other) if self.outputs.start == 0 else (other, half), dim=-1)
