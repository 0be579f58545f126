"""Which of several scored points to take, and which no other point beats."""

from __future__ import annotations

import math
from collections.abc import Sequence

CHANCE = 0.02
"""A difference of worth that the next pictures may turn around: the pixel world's proof tells no smaller one apart."""


def worth(identity: float, agreement: float) -> float:
    """The product of both scores, each kept to 0..1; not a number if one of them is not.

    As the paper's figures set identity against text: a point that loses half of either is worth half.
    """
    if math.isnan(identity) or math.isnan(agreement):
        return math.nan
    return min(max(identity, 0.0), 1.0) * min(max(agreement, 0.0), 1.0)


def suggested(
    points: Sequence[tuple[float, float]], turned: Sequence[int], exaggerated: Sequence[bool] | None = None
) -> int | None:
    """The index of the point (identity, agreement) to take; none if no point has both scores.

    Of the points whose worth is within ``CHANCE`` of the best, the one that turns the fewest dials away from the usual
    values, as ``turned`` counts them; of equals, the one of most worth. ``exaggerated`` points draw the look stronger
    than it was trained: their identity counts no more than the best of the others, as a model finds an exaggerated
    subject easier to tell, not truer.
    """
    exaggerated = exaggerated or [False] * len(points)
    plain = [point[0] for point, more in zip(points, exaggerated, strict=True) if not more and not math.isnan(point[0])]
    most = max(plain, default=math.inf)
    worths = [worth(min(identity, most), agreement) for identity, agreement in points]
    known = [index for index, value in enumerate(worths) if not math.isnan(value)]
    best = max((worths[index] for index in known), default=math.nan)
    near = [index for index in known if worths[index] >= best - CHANCE]
    return min(near, key=lambda index: (turned[index], -worths[index]), default=None)


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The indices of the points that no other point beats in one score and equals in the other, by rising identity."""
    known = [index for index, point in enumerate(points) if not any(map(math.isnan, point))]

    def beaten(index: int) -> bool:
        own = points[index]
        return any(points[o] != own and points[o][0] >= own[0] and points[o][1] >= own[1] for o in known)

    return sorted((index for index in known if not beaten(index)), key=lambda index: points[index])
