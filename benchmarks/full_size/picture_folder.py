"""Host memory of thirty photographs that Load Training Pictures reads from a folder."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from . import host
from .photographs import jpeg, mebibytes, numbers, peak_of_the_process
from .scale import Scale

LONGEST_SIDES = (1024, 1536)
"""By rising memory: a process's peak never falls. The last is the node's default."""


def run(scale: Scale) -> dict[str, list[dict[str, Any]]]:
    count, width, height = numbers(scale)
    file = jpeg(width, height)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            Path(folder, f"{number}.jpg").write_bytes(file)
        rows = [{"photographs": count, "pixels": f"{width} x {height}"} | read(folder, s) for s in LONGEST_SIDES]
    return {"Host memory of a folder of photographs": rows}


def read(folder: str, longest_side: int) -> dict[str, Any]:
    reading = host.pack("nodes.training.picture_files")
    before, started = peak_of_the_process(), time.perf_counter()
    files, _ = reading.picture_files(Path(folder))
    loaded = reading.load_pictures(files, longest_side)
    seconds, after = time.perf_counter() - started, peak_of_the_process()
    return {
        "longest_side": longest_side,
        "seconds": round(seconds, 1),
        "held by the host, MiB": mebibytes(sum(one.pixels.nbytes for one in loaded)),
        "process, at most, before, MiB": mebibytes(before),
        "after, MiB": mebibytes(after),
    }
