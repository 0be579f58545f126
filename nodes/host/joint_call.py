"""One model call of a transformer with joint attention: the edit at every layer's attention, as the host computes it.

The host hands every attention to one function that a workflow may set; ours calls what was set before. Which layer an
attention belongs to is told by the module that is called last before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...perfusion_ops.edit.injection import Observer
from ...perfusion_ops.edit.joint_attention import attend_by_position, text_values
from .added_tokens import AddedTokens
from .call_hooks import call_hooks

OVERRIDE = "optimized_attention_override"


class JointCall:
    """The edit of one batch for the time of one model call, or of a training.

    ``gates`` (B, T, J) cover the text as it stands in the attention's sequence, ``places`` is how many of the picture
    follow, or precede it if not ``text_first``, ``residuals`` are (J, width) by layer, ``masks`` are (places,) by
    concept. ``observer`` is told of the text's plain values (B, T, width). ``before`` and ``behind`` are a
    family's ``around``: other texts and pictures may stand there too. Layers without residuals stay plain.
    """

    def __init__(self, text_first: bool = True) -> None:
        self.text_first = text_first
        self.gates: Tensor | None = None
        self.named: Tensor | None = None
        """The rows whose prompts name a concept; none if all of them do."""
        self.added = AddedTokens()
        self.places, self.before, self.behind = 0, 0, None
        self.residuals: Mapping[str, Tensor] = {}
        self.masks: Mapping[int, Tensor] = {}
        self.observer: Observer | None = None
        self.layer: tuple[str, int, int] | None = None
        """Name of the layer whose attention comes next, and how many prompts and places its announcer read."""

    def options(self, transformer_options: dict) -> dict:
        """``transformer_options`` for the next call, with our function, which calls what another node had set."""
        # A call that an error ended may have announced a layer whose attention never came.
        self.layer = None
        before = transformer_options.get(OVERRIDE)

        def override(attention, queries, keys, values, heads, *args, **settings):
            def inner(*tensors: Tensor, masked_by: Any = None) -> Tensor:
                given = (masked_by, *args[1:]) if args and masked_by is not None else args
                call = settings if args or masked_by is None else {**settings, "mask": masked_by}
                if before is None:
                    return attention(*tensors, heads, *given, **call)
                return before(attention, *tensors, heads, *given, **call)

            mask = args[0] if args else settings.get("mask")
            return self._attended(inner, queries, keys, values, mask, settings)

        return {**self.added.options(transformer_options), OVERRIDE: override}

    def _attended(self, inner, queries: Tensor, keys: Tensor, values: Tensor, mask, settings) -> Tensor:
        announced, self.layer = self.layer, None
        if announced is None or self.gates is None or announced[0] not in self.residuals:
            return inner(queries, keys, values)
        heads_first = bool(settings.get("skip_reshape"))
        axis = 2 if heads_first else 1
        length = queries.shape[axis]
        layer, prompts, read = announced
        # Some packs project a prompt of their own beside the others', and attend to each by itself.
        self._check_rows(prompts if prompts != len(self.gates) else len(queries))
        gates = self._in_sequence(length, read)
        # A mask with a row for each query is cut as the queries are.
        by_query = isinstance(mask, Tensor) and mask.ndim >= 2 and mask.shape[-2] == length
        rows = self._parted(mask, -2, gates.shape[1]) if by_query else (None, None)
        parts = [
            lambda changed, some=some, row=row: inner(some, keys, changed, masked_by=row)
            for some, row in zip(self._parted(queries, axis, gates.shape[1]), rows, strict=True)
        ]
        if self.observer is not None:
            text = text_values(values, gates.shape[1], self.places, heads_first, self.text_first)
            self.observer(f"value_residuals/{layer}", text, gates)
        given = values, gates.to(values), self.residuals[layer], self.places, self.masks
        layout = heads_first, bool(settings.get("skip_output_reshape")), self.text_first
        edited = attend_by_position(*parts, *given, *layout)
        if self.named is None:
            return edited
        # Kernels round by the number of queries: rows that name nothing are computed as without an edit.
        return inner(queries, keys, values).index_copy(0, self.named, edited.index_select(0, self.named))

    def _parted(self, of_places: Tensor, axis: int, text: int) -> tuple[Tensor, Tensor]:
        """The picture's places, and all others in their order."""
        at, end = (text, text + self.places) if self.text_first else (0, self.places)
        before, picture, after = of_places.tensor_split((at, end), axis)
        return picture, torch.cat((before, after), axis)

    def _check_rows(self, rows: int) -> None:
        """Raise ValueError if an attention is of other prompts than the call's."""
        if rows != len(self.gates):
            raise ValueError(
                f"An attention layer reads {rows} prompts at once; expected the {len(self.gates)} that the model was "
                "called with. Another node adds prompts inside the model, or takes them one by one: connect it "
                "without Apply Key-Locked Attention."
            )

    def _in_sequence(self, length: int, read: int) -> Tensor:
        """The gates (B, T', J) of all that stands before the picture, or behind, in a sequence of ``length`` places.

        ``read`` is the text alone, where the layer has a projection for it. Raises ValueError for another text.
        """
        gates = nn.functional.pad(self.gates, (0, 0, self.added.before, self.added.behind))
        text = gates.shape[1]
        end = length - self.places - (self.behind or 0)
        if self.before + text > end or read not in (length, text):
            raise ValueError(
                f"An attention layer reads {read} places of {length}; expected the prompt's {text} and the picture's "
                f"{self.places}. Another node changes the prompt inside the model: connect it without Apply Key-Locked "
                "Attention."
            )
        behind = 0 if self.behind is None else end - self.before - text
        return nn.functional.pad(gates, (0, 0, self.before, behind)) if self.before or behind else gates

    def check_attended(self) -> None:
        """Raise ValueError if an announced layer's attention was computed where no function of ours is asked."""
        if self.layer is not None:
            raise ValueError(
                f"The attention of the layer {self.layer[0]} is computed by another node or pack, past ComfyUI's own, "
                "so a concept would have no effect there. Connect the model without that node."
            )

    @contextmanager
    def announced(self, layers: Mapping[str, nn.Module]) -> Iterator[None]:
        """Hooks that tell which layer's attention comes next."""
        with call_hooks() as stack:
            for name, module in layers.items():
                stack.callback(module.register_forward_pre_hook(self._announcer(name)).remove)
            yield

    def _announcer(self, name: str):
        def announce(_module: nn.Module, args: tuple) -> None:
            self.check_attended()
            self.layer = name, *args[0].shape[:2]

        return announce


def picture_cells(net: nn.Module, latents: Tensor) -> tuple[int, int]:
    """Rows and columns of picture places for latents (..., h, w), which the model pads to whole patches."""
    height, width = (-(-side // net.patch_size) for side in latents.shape[-2:])
    return height, width
