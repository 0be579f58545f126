"""How large a layer's own keys and values are: the unit of its learning rate in transformers (ours).

A network draws the same pictures with ``c W_V`` and ``W_O / c`` in place of an attention's ``W_V`` and ``W_O``, and the
residual that means the same is then ``c`` times as large. Adam's steps are as large as the learning rate, whatever the
gradient. So a rate that is right for one of the two networks is wrong for the other, unless it is in units of the
values' own size. For keys the same holds with ``W_Q``.
"""

from __future__ import annotations

from torch import Tensor


class ValueSizes:
    """Root mean squares of what residuals are added to, each token counted as far as its gate is open."""

    def __init__(self) -> None:
        self.squares: dict[str, Tensor] = {}
        self.counts: dict[str, Tensor] = {}

    def observe(self, name: str, rows: Tensor, gates: Tensor) -> None:
        """``rows`` (B, T, d) that the residual ``name`` is added to, with ``gates`` (B, T, J)."""
        weights = gates.detach().float().sum(-1).to(rows.device)
        squares = rows.detach().float().square().mean(-1)
        for sums, more in ((self.squares, (weights * squares).sum()), (self.counts, weights.sum())):
            sums[name] = sums[name] + more if name in sums else more

    def sizes(self) -> dict[str, Tensor]:
        """Name of a residual -> root mean square (), float32."""
        return {name: (squares / self.counts[name]).sqrt() for name, squares in self.squares.items()}
