"""The overhead of sampling with concepts, in few rounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from full_size.sampling import measure
from full_size.scale import Case

CASES = {
    "sd1": Case("sd1", 1, 512, "float16", 3),
    "sdxl": Case("sdxl", 1, 1024, "float16", 3),
    "rehearsal": Case("tiny", 1, 64, "float32", 1),
}


def run(family: str, rehearse: bool, folder: Path) -> Iterator[dict[str, Any]]:
    """A row per variant: the plain model twice, one and four concepts, a LoRA, and perfusion-pytorch."""
    case = CASES["rehearsal" if rehearse else family]
    rows, _ = measure(case.family, [case], (1, 4), warm_up=0 if rehearse else 1)
    yield from rows
