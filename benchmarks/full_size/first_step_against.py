"""The first step of a training by an earlier commit's pack and by today's, in turns, each time in a fresh process."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from . import host, models
from .first_step_of import METHODS, PARTS, SUBJECTS, Job
from .scale import Scale
from .timing import interleaved, rounded

BEFORE, NOW = "before", "now"
STATISTICS, STEP = f"statistics of {len(SUBJECTS)} captions", METHODS["_Loop", "advance"]
SUMS = {"before forward and backward": {STATISTICS, STEP}, "all but the statistics": {STATISTICS}, "together": set()}
"""Sum -> the parts that are not in it."""
HOSTS = {False: "loads models whole", True: "pages weights, as on NVIDIA's cards"}
PIXELS = 64


def run(scale: Scale, commit: str, family: str | None) -> dict[str, list[dict[str, Any]]]:
    """CPU seconds of the parts, of both packs; the median of all rounds. The checkpoint is in the system's cache."""
    families, rounds, modes = ("sd1", "sdxl_narrow"), 2, (False, True)
    if scale.name == "tiny":
        families, rounds, modes = ("tiny",), 1, (False,)
    families = [name for name in families if family in (None, models.FAMILIES[name].name)]
    rows: list[dict[str, Any]] = []
    with checked_out(commit) as earlier, tempfile.TemporaryDirectory() as folder:
        for name in families:
            file = Path(folder) / f"{name}.safetensors"
            _process("make", name, str(file))
            for pages in modes:
                rows += _rows(name, pages, {BEFORE: earlier, NOW: host.ROOT}, file, rounds)
            file.unlink()
    return {f"The first step of {commit} and of today": rows}


def _rows(family: str, pages: bool, packs: Mapping[str, Path], file: Path, rounds: int) -> list[dict[str, Any]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in packs}

    def one(name: str) -> float:
        found[name].append(_process("measure", json.dumps(asdict(Job(str(packs[name]), str(file), pages, PIXELS)))))
        return found[name][-1]["wall"]

    interleaved({name: partial(one, name) for name in packs}, rounds, warm_up=0)
    columns = {"model": models.FAMILIES[family].title, "the host": HOSTS[pages]}
    return [columns | row for row in (*map(partial(_part, found), (*PARTS, *SUMS)), _waits(found))]


def _part(found: Mapping[str, Sequence[dict[str, Any]]], part: str) -> dict[str, Any]:
    names = set(PARTS) - SUMS[part] if part in SUMS else {part}
    seconds = {who: [sum(run["parts"].get(n, 0) for n in names) for run in runs] for who, runs in found.items()}
    rounds = zip(seconds[BEFORE], seconds[NOW], strict=True)
    ratio = statistics.median(now / before if before else 1.0 for before, now in rounds)
    columns = {f"{who}, CPU s": rounded(statistics.median(times)) for who, times in seconds.items()}
    return {"part": part, **columns, "now / before": round(ratio, 2)}


def _waits(found: Mapping[str, Sequence[dict[str, Any]]]) -> dict[str, Any]:
    counts = {who: runs[0]["readings"] for who, runs in found.items()}
    columns = {f"{who}, CPU s": count for who, count in counts.items()}
    ratio = round(counts[NOW] / counts[BEFORE], 2)
    return {"part": "waits of an accelerator, a count", **columns, "now / before": ratio}


def _process(*arguments: str) -> Any:
    """What a process of its own prints last, if it prints JSON."""
    command = [sys.executable, "-m", "full_size.first_step_of", *arguments]
    path = os.pathsep.join([str(host.ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    lines = done.stdout.strip().splitlines()
    return json.loads(lines[-1]) if arguments[0] == "measure" else None


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A folder with an earlier commit of this repository, gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "earlier"
        git = ["git", "-C", str(host.ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", place, commit], check=True)
        try:
            yield place
        finally:
            subprocess.run([*git, "remove", "--force", place], check=True)
