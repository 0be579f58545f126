"""How large the measurements are.

``reduced`` for two cores in 15 minutes, ``patient`` for two cores with more rounds and larger pictures, ``tiny`` for
tests of the tables. The sizes users have, on a GPU, are another benchmark's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class Case:
    """One model at one batch and picture size."""

    family: str
    batch: int
    pixels: int
    dtype: str
    rounds: int = 1


@dataclass(frozen=True)
class Scale:
    """The size of every part; see the part of that name."""

    name: str
    sampling: tuple[Case, ...]
    sampling_counts: tuple[int, ...]
    warm_up: int
    """Rounds of sampling that do not count: in them a GPU chooses its kernels. The model is loaded before."""
    training: tuple[Case, ...]
    training_steps: int
    checkpointing: tuple[bool, ...]
    captions: dict[str, int]
    """Text encoders of a family -> captions of the corpus."""
    growth_counts: tuple[int, ...]
    growth_families: tuple[str, ...]
    growth_repeats: int

    def cases(self, change: Callable[[tuple[Case, ...]], tuple[Case, ...]]) -> Scale:
        """The same with every list of cases changed."""
        return replace(self, **{name: change(getattr(self, name)) for name in ("sampling", "training")})


def two_core_sampling(sd1: int, others: int) -> tuple[Case, ...]:
    """Rounds of SD 1.5's smallest case, and of the others."""
    small, large = ("sd1", "float32"), ("sdxl", "bfloat16")
    return tuple(
        Case(family, batch, pixels, dtype, sd1 if (family, batch) == ("sd1", 1) else others)
        for family, dtype in (small, large)
        for batch, pixels in ((1, 128), (8, 64))
    )


REDUCED = Scale(
    "reduced",
    sampling=two_core_sampling(3, 2),
    sampling_counts=(1, 4, 16),
    warm_up=0,
    training=(Case("sd1_short", 2, 128, "float32"),),
    training_steps=2,
    checkpointing=(False,),
    captions={"sd1": 100, "sd2": 40, "sdxl": 20},
    growth_counts=(1, 2, 4, 8, 16, 32, 64),
    growth_families=("sd1", "sdxl"),
    growth_repeats=20,
)
PATIENT = replace(
    REDUCED,
    name="patient",
    sampling=two_core_sampling(5, 3),
    warm_up=1,
    training=(Case("sd1_short", 2, 256, "float32", 2),),
    checkpointing=(False, True),
    captions={"sd1": 200, "sd2": 60, "sdxl": 30},
)
TINY = replace(
    REDUCED,
    name="tiny",
    sampling=(Case("tiny", 1, 64, "float32", 2),),
    sampling_counts=(1, 2),
    warm_up=1,
    training=(Case("tiny", 2, 64, "float32"),),
    captions={},
    growth_counts=(1, 2),
    growth_families=("tiny",),
    growth_repeats=2,
)
SCALES = {scale.name: scale for scale in (REDUCED, PATIENT, TINY)}


def only(scale: Scale, family: str | None) -> Scale:
    """``scale`` with the cases of one model; none: all of them."""
    return scale.cases(lambda cases: tuple(case for case in cases if family in (None, case.family)))


def on_this_machine(scale: Scale) -> Scale:
    """``scale``, with a shallower SDXL in float32 where bfloat16 is emulated: the whole one would fill the memory.

    A processor that emulates bfloat16 takes seven times float32's time.
    """
    if torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported():
        return scale

    def fitting(case: Case) -> Case:
        if case.dtype != "bfloat16":
            return case
        return replace(case, family={"sdxl": "sdxl_short"}.get(case.family, case.family), dtype="float32")

    return scale.cases(lambda cases: tuple(map(fitting, cases)))
