"""How large the measurements are.

``reduced`` for two cores in 15 minutes, ``patient`` for two cores with more rounds and larger pictures, ``full`` for a
GPU, ``tiny`` for tests of the tables.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class Case:
    """One model at one batch and picture size."""

    family: str
    batch: int
    pixels: int
    dtype: str
    rounds: int


@dataclass(frozen=True)
class Scale:
    """The size of every part; see the part of that name."""

    name: str
    sampling: tuple[Case, ...]
    sampling_counts: tuple[int, ...]
    warm_up: int
    """Rounds of sampling that do not count: in them a GPU chooses its kernels. The model is loaded before."""
    profile: tuple[Case, ...]
    training: tuple[Case, ...]
    training_steps: int
    checkpointing: tuple[bool, ...]
    captions: dict[str, int]
    """Text encoders of a family -> captions of the corpus."""
    floppy: bool
    growth_counts: tuple[int, ...]
    growth_families: tuple[str, ...]
    growth_repeats: int
    server_pictures: int


REDUCED = Scale(
    "reduced",
    sampling=(
        Case("sd1", 1, 128, "float32", 3),
        Case("sd1", 8, 64, "float32", 2),
        Case("sdxl", 1, 128, "bfloat16", 2),
        Case("sdxl", 8, 64, "bfloat16", 2),
    ),
    sampling_counts=(1, 4, 16),
    warm_up=0,
    profile=(
        Case("sd1", 1, 128, "float32", 1),
        Case("sd1", 1, 256, "float32", 1),
        Case("sdxl", 1, 128, "bfloat16", 1),
    ),
    training=(Case("sd1_short", 2, 128, "float32", 1),),
    training_steps=2,
    checkpointing=(False,),
    captions={"sd1": 100, "sd2": 40, "sdxl": 20},
    floppy=True,
    growth_counts=(1, 2, 4, 8, 16, 32, 64),
    growth_families=("sd1", "sdxl"),
    growth_repeats=20,
    server_pictures=4,
)

SCALES = {
    scale.name: scale
    for scale in (
        REDUCED,
        replace(
            REDUCED,
            name="patient",
            sampling=(
                Case("sd1", 1, 128, "float32", 5),
                Case("sd1", 8, 64, "float32", 3),
                Case("sdxl", 1, 128, "bfloat16", 3),
                Case("sdxl", 8, 64, "bfloat16", 3),
            ),
            warm_up=1,
            training=(Case("sd1_short", 2, 256, "float32", 2),),
            checkpointing=(False, True),
            captions={"sd1": 200, "sd2": 60, "sdxl": 30},
        ),
        Scale(
            "full",
            sampling=tuple(
                Case(family, batch, pixels, "float16", 20)
                for family, pixels in (("sd1", 512), ("sdxl", 1024))
                for batch in (1, 8)
            ),
            sampling_counts=(1, 4, 16, 64),
            warm_up=1,
            profile=(
                Case("sd1", 1, 512, "float16", 1),
                Case("sd1", 1, 1024, "float16", 1),
                Case("sdxl", 1, 1024, "float16", 1),
            ),
            training=(
                Case("sd1", 1, 512, "bfloat16", 3),
                Case("sd1", 16, 512, "bfloat16", 3),
                Case("sdxl", 1, 1024, "bfloat16", 3),
            ),
            training_steps=10,
            checkpointing=(False, True),
            captions={"sd1": 20000, "sd2": 20000, "sdxl": 20000},
            floppy=True,
            growth_counts=(1, 2, 4, 8, 16, 32, 64),
            growth_families=("sd1", "sdxl"),
            growth_repeats=100,
            server_pictures=8,
        ),
        Scale(
            "tiny",
            sampling=(Case("tiny", 1, 64, "float32", 2),),
            sampling_counts=(1, 2),
            warm_up=1,
            profile=(Case("tiny", 1, 64, "float32", 1),),
            training=(Case("tiny", 2, 64, "float32", 1),),
            training_steps=2,
            checkpointing=(False,),
            captions={},
            floppy=False,
            growth_counts=(1, 2),
            growth_families=("tiny",),
            growth_repeats=2,
            server_pictures=0,
        ),
    )
}


def computes_bfloat16() -> bool:
    """Whether this machine computes in bfloat16; a processor that emulates it takes seven times float32's time."""
    return torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported()


def on_this_machine(scale: Scale) -> Scale:
    """``scale``, with a shallower SDXL in float32 where bfloat16 is emulated: the whole one would fill the memory."""
    if computes_bfloat16():
        return scale

    def fitting(case: Case) -> Case:
        if case.dtype != "bfloat16":
            return case
        return replace(case, family={"sdxl": "sdxl_short"}.get(case.family, case.family), dtype="float32")

    lists = ("sampling", "profile", "training")
    return replace(scale, **{name: tuple(map(fitting, getattr(scale, name))) for name in lists})
