"""Which part of the picture a model call sees: a prompt with an area of its own is drawn in that part alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import comfy.conds
from torch import Tensor

from ...perfusion_ops.edit.regions import mask_at

WINDOW = "perfusion_window"
"""Its name among what the host hands on to the model."""
Window = tuple[int, int, int, int]
"""Top, left, height and width, in latent cells."""


class WindowOfCall(comfy.conds.CONDConstant):
    """(the whole latent's height and width, the call's window); prompts of unlike windows are drawn in calls apart."""

    def process_cond(self, batch_size: int, area: Sequence[int] | None = None, **_others) -> WindowOfCall:
        """``area`` is the host's: the sizes of all dimensions, then the offsets."""
        whole, window = self.cond
        if area is not None:
            dims = len(area) // 2
            window = (area[-2], area[-1], area[dims - 2], area[dims - 1])
        return self._copy_with((whole, window))


def with_windows(conds: Mapping[str, list[dict]], latent_shape: Sequence[int]) -> dict[str, list[dict]]:
    """A sampler's conditionings, each of which knows in its calls which part of the latent (..., h, w) they see."""
    height, width = latent_shape[-2:]
    entry = {WINDOW: WindowOfCall(((height, width), (0, 0, height, width)))}
    return {
        name: [{**cond, "model_conds": {**cond.get("model_conds", {}), **entry}} for cond in group]
        for name, group in conds.items()
    }


def region_in(region: Tensor, seen: tuple[tuple[int, int], Window] | None) -> Tensor:
    """The part of a region (H, W) of the whole picture that a call sees, in latent cells unless it sees all of it."""
    if seen is None or seen[1][2:] == seen[0]:
        return region
    whole, (top, left, height, width) = seen
    return mask_at(region, *whole).view(whole)[top : top + height, left : left + width]


def check_whole(seen: tuple[tuple[int, int], Window] | None, latent_shape: Sequence[int]) -> None:
    """Raise ValueError if a model call with regions gets less (..., h, w) than what its prompt is drawn in.

    More is the whole picture made larger, as some samplers do on the way.
    """
    given = tuple(latent_shape[-2:])
    if seen is None or all(side >= whole for side, whole in zip(given, seen[1][2:], strict=True)):
        return
    raise ValueError(
        f"The model is called with {given[0]} x {given[1]} cells of a latent of {seen[1][2]} x {seen[1][3]}: another "
        "node cuts the picture into parts, and where each lies is not known. Take the concept's region away, or "
        "connect the model without that node."
    )
