"""One model call with concepts: contexts in, value deltas at the projections, regions at the attention's output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from ...perfusion_ops import JointEdit
from ...perfusion_ops.edit.equations import add_value_delta, value_delta
from ..families.unet import UNet
from .cells import cells_of, shows_picture_alone
from .own_text import ALL, OwnText
from .read_texts import Edited, ReadText, with_gates


class CallEdit:
    """The edit of one batch, for the time of one model call.

    Args:
        gates: (B, T, J) in the model's dtype, computed in float32; 0 for a concept that rests.
        keys, values: edited contexts (B, T, d) in the model's dtype; none where all concepts have a position gate.
        edit: the concepts, on the same device and in the same dtype.
        regions: number of a concept -> its soft mask (H, W); none for everywhere.
        latent_shape: (..., h, w) of the model's input.
        as_patch: makes an ``attn2_patch`` of the family's kind of ``swap_context``; none: hooks put the contexts in.
        plain: (B, T, 1), 1 at tokens that keep what the network itself reads there; for hooks.
        patch: side of the latent's patches, of which every layer reads all; none: each layer has its own grid.
        before: how many places layers read before the latent's patches.
        other: edits a prompt that another node has the layers read.
        carried: whether the network was called with its edit beside the contexts, as it may cut them.
        named: whether the model's own prompts may hold concepts; else their contexts and gates change nothing.
        inside: whether a node has put something of its own in place of a part of the network.
        read: is told the gates of what layers read where other nodes may have changed it, and none elsewhere.
    """

    def __init__(
        self,
        gates: Tensor,
        edit: JointEdit,
        regions: Mapping[int, Tensor],
        latent_shape: Sequence[int],
        keys: Tensor | None = None,
        values: Tensor | None = None,
        as_patch: Callable[[Callable], Callable] | None = UNet.as_patch,
        plain: Tensor | None = None,
        patch: int | None = None,
        before: int = 0,
        other: Edited = lambda _prompt: None,
        carried: bool = False,
        named: bool = True,
        inside: bool = False,
        read: Callable[[Tensor | None], None] = lambda _gates: None,
    ) -> None:
        self.other, self.foreign, self.carried = other, False, carried
        self.named, self.inside, self.marked, self.read = named, inside, False, read
        self.as_patch, self.plain, self.patch, self.before = as_patch, plain, patch, before
        self.keys, self.values, self.gates, self.edit = keys, values, gates, edit
        self.now = {"keys": keys, "values": values, "gates": gates}
        """What the layer computed just now reads."""
        self.masks = regions
        self.white = frozenset(j for j, mask in regions.items() if bool((mask == 1).all()))
        """Concepts whose region is all white: none where a layer reads nothing but the picture, to the bit."""
        self.covered: frozenset[int] = frozenset()
        """Those that the layer computed just now reads as if they had none."""
        self.added = self.covered
        """Those whose deltas its values have already."""
        self.latent_shape = latent_shape
        self.grid: tuple[int, int] | None = None
        """Rows and columns of the layer computed just now, where the network tells them."""
        self.text = OwnText()
        self.drawn = False
        """Whether the layer computed just now read a text that may hold a concept."""
        self.value_rows: dict[str, slice | None] = {}
        """Layer -> what ``to_v`` reads just now; a hook before it may have changed that."""
        self.regional: int | None = None
        """The concept whose delta alone the value projections return just now."""

    def options(self, transformer_options: dict) -> dict:
        """``transformer_options`` with our patches before those of others, who then see the edited context."""
        if self.as_patch is None:
            return transformer_options
        patches = dict(transformer_options.get("patches", {}))
        self.marked = self.named and (self.inside or bool(patches.get("attn2_patch")))
        patches["attn2_patch"] = [self.as_patch(self.swap_context), *patches.get("attn2_patch", ())]
        return {**transformer_options, "patches": patches}

    def swap_context(
        self, queries: Tensor, context: Tensor, values: Tensor, grid: tuple[int, int] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Before the projections of a layer of so many rows and columns: raw encodings in, edited ones out."""
        self.grid = grid
        if self.carried or not self.named:
            return queries, context, values
        _check_prompt(context, self.keys)
        if not self.marked:
            return queries, self.keys, self.values
        return queries, *(with_gates(context, self.gates) for context in (self.keys, self.values))

    def reads_text(self, layer: str, part: str, context: Tensor) -> Tensor:
        """What a projection of a U-Net's layer is to read of what other patches made of its prompt."""
        if self.regional is not None:
            return context
        text = ReadText(part, context, self.gates, self.other, self.carried, self.marked)
        self.now[part] = text.context
        if part == "values":
            self.now["gates"] = self.gates if text.gates is None else text.gates
            self.foreign = text.foreign or (text.gates is None and not self.named)
            (self.text.beside if text.foreign and self.named else self.text.read).add(layer)
            changed = self.marked or self.carried or not self.named
            self.read(self.now["gates"] if changed else None)
        return text.context

    def rows(self, layer: str, projected: Tensor) -> slice | None:
        """Which rows of the batch a projection of ``layer`` reads; none for a text of another pack."""
        return ALL if self.regional is not None else self.text.rows(layer, projected)

    def projection_input(self, part: str, context: Tensor, rows: slice = ALL) -> Tensor:
        """What ``to_k`` or ``to_v`` reads of ``rows`` (B, T, d): the network's own context, to the bit, wherever none
        is edited.

        Some networks hand on (1, B T, d), all prompts one behind the other.
        """
        edited = (self.keys if part == "k" else self.values)[rows]
        context = context.reshape(edited.shape) if context.numel() == edited.numel() else context
        _check_prompt(context, edited)
        return torch.where(self.plain[rows].bool(), context, edited)

    def value_output(self, layer: str, values: Tensor, rows: slice = ALL) -> Tensor:
        """``to_v``'s output of ``rows`` with the deltas of this call (B, T, d_out)."""
        residuals = self.edit.value_residuals[layer]
        if self.regional is not None:
            alone = torch.zeros_like(self.now["gates"])
            alone[..., self.regional] = self.now["gates"][..., self.regional]
            return value_delta(alone, residuals)
        if self.foreign:
            return values
        self.drawn = True
        gates = self.now["gates"][rows]
        _check_tokens(gates, values)
        self.added = self.covered
        return add_value_delta(values, gates * self.everywhere[int(bool(self.added))], residuals)

    @cached_property
    def everywhere(self) -> Tensor:
        """(2, J): which concepts act everywhere in a layer, without and with the white regions."""
        places = [set(self.masks), set(self.masks) - self.white]
        open_ = torch.tensor([[j not in held for j in range(self.gates.shape[-1])] for held in places])
        return open_.to(self.gates.device)

    def reads(self, queries: int) -> None:
        """A layer reads its ``queries``, in most networks before its values."""
        white = bool(self.white) and shows_picture_alone(queries, self.latent_shape, self.patch)
        self.covered = self.white if white else frozenset()

    @property
    def shares(self) -> list[int]:
        """The concepts of which the layer computed just now gets a share in their regions."""
        return [index for index in self.masks if index not in self.added] if self.drawn else []

    def attention_output(self, attention: nn.Module, read: Sequence[tuple], output: Tensor) -> Tensor:
        """``output`` (B, Q, d), whose queries ``read`` holds alone, plus each regional concept's share in its mask.

        Cross-attention is linear in its values, so the share of a delta D is the attention of D alone, without the
        output projection's constant.
        """
        for index in self.shares:
            mask = self.masks[index]
            self.regional = index
            share = attention(*read[0], context=self.now["keys"], value=self.now["values"])
            share = share - attention.to_out(torch.zeros_like(share[:1, :1]))
            self.regional = None
            cells = cells_of(mask, output.shape[1], self.latent_shape, self.patch, self.before, self.grid)
            output = output + cells.to(output).unsqueeze(-1) * share
        self.covered, self.added, self.drawn = frozenset(), frozenset(), False
        return output


def _check_prompt(context: Tensor, expected: Tensor) -> None:
    if context.shape != expected.shape:
        raise ValueError(
            f"A cross-attention layer got a prompt of shape {tuple(context.shape)}; expected "
            f"{tuple(expected.shape)}, as at the start of the model. Another node changes the prompt inside the "
            "model: connect it without Apply Key-Locked Attention."
        )


def _check_tokens(gates: Tensor, projected: Tensor) -> None:
    if gates.shape[:2] != projected.shape[:2]:
        raise ValueError(
            f"A cross-attention projection read {tuple(projected.shape[:2])} (prompts, tokens); expected "
            f"{tuple(gates.shape[:2])}. Another node changes the prompt inside the model: connect it without Apply "
            "Key-Locked Attention."
        )
