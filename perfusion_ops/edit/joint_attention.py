"""Joint attention with a position gate: one sequence of text and picture, whose picture queries alone see the edit.

Shapes: B prompts, L = T text places, Q picture places and others (padding, reference pictures) in one sequence, in
that order or the picture first; H heads of D numbers, J concepts. Values may be more, at the end, than there are
places: those of reference pictures that were read in an earlier step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .equations import value_delta
from .regions import regional_attention

Attention = Callable[[Tensor], Tensor]
"""Values of the whole sequence -> the output of some places, their queries, all keys and all else given: (B, H, L, D)
or (B, L, H * D)."""


def attend_by_position(
    picture: Attention,
    others: Attention,
    values: Tensor,
    gates: Tensor,
    residuals: Tensor,
    places: int,
    masks: Mapping[int, Tensor],
    heads_first: bool,
    output_heads_first: bool = False,
    text_first: bool = True,
) -> Tensor:
    """``out_q = sum_n A_qn (V_n + sum_j g_jn m_jq r_j)`` for picture queries, ``A V`` for all others (ours).

    Text that saw the edited values would carry the look on to later layers' keys, beside the superclass's. Of the
    picture it does see the look, as of everything there: gradients pass through the text of the layers behind.

    Args:
        picture, others: attention of the picture's places, and of all other places in their order.
        values: (B, H, L, D) if ``heads_first``, else (B, L, H * D) or (B, L, H, D). Fewer heads of residuals than of
            values are repeated, as grouped-query models repeat them.
        gates: (B, T, J), 0 for tokens and concepts that rest.
        residuals: (J, width of the values).
        places: Q.
        masks: concept -> (Q,), 0 to 1, for concepts with a region.
        text_first: whether the picture follows the text; else the text follows the picture.
    """
    axis, output_axis = (2 if heads_first else 1), (2 if output_heads_first else 1)
    text = gates.shape[1]
    text_at, picture_at = (0, text) if text_first else (places, 0)
    everywhere = torch.tensor([j not in masks for j in range(gates.shape[-1])], device=gates.device)

    def delta(of: Tensor) -> Tensor:
        return _in_layout(value_delta(of, residuals), values, heads_first)

    edited = _with_text_added(values, delta(gates * everywhere), axis, text_at)
    if masks:
        nothing = torch.zeros_like(values)
        deltas = [_with_text_added(nothing, delta(_alone(gates, j)), axis, text_at) for j in masks]
        shown = regional_attention(picture, edited, deltas, list(masks.values()))
    else:
        shown = picture(edited)
    before, after = others(values).tensor_split((picture_at,), output_axis)
    return torch.cat((before, shown, after), output_axis)


def text_values(values: Tensor, text: int, places: int, heads_first: bool, text_first: bool = True) -> Tensor:
    """The values (B, T, H * D) of a prompt's ``text`` places, in the layouts and order of ``attend_by_position``."""
    rows = values.narrow(2 if heads_first else 1, 0 if text_first else places, text)
    return (rows.transpose(1, 2) if heads_first else rows).flatten(2)


def _alone(gates: Tensor, concept: int) -> Tensor:
    alone = torch.zeros_like(gates)
    alone[..., concept] = gates[..., concept]
    return alone


def _in_layout(delta: Tensor, values: Tensor, heads_first: bool) -> Tensor:
    """A delta (B, T, width) in the layout of ``values``."""
    delta = delta.to(values.dtype)
    if not heads_first:
        return delta.unflatten(-1, values.shape[2:])
    heads, size = values.shape[1], values.shape[3]
    repeats = heads * size // delta.shape[-1]
    return delta.unflatten(-1, (heads // repeats, size)).transpose(1, 2).repeat_interleave(repeats, 1)


def _with_text_added(values: Tensor, delta: Tensor, axis: int, text_at: int) -> Tensor:
    text = delta.shape[axis]
    end = text_at + text
    before, rest = values.narrow(axis, 0, text_at), values.narrow(axis, end, values.shape[axis] - end)
    return torch.cat((before, values.narrow(axis, text_at, text) + delta, rest), axis)
