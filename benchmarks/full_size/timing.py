"""Clocks and memory: interleaved rounds, ratios with their spread, peaks over what was there before."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

NOT_MEASURED = "not measured"


def clock() -> float:
    """Seconds, after everything queued on the accelerator is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds(call: Callable[[], object], repeats: int = 1) -> float:
    start = clock()
    for _ in range(repeats):
        call()
    return (clock() - start) / repeats


def interleaved(calls: Mapping[str, Callable[[], float]], rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Seconds each call reports, round by round; every second round runs backwards, so that a drift cancels."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(warm_up + rounds):
        for name in list(calls) if turn % 2 else reversed(list(calls)):
            measured = calls[name]()
            if turn >= warm_up:
                times[name].append(measured)
    return times


def ratio_columns(times: Mapping[str, Sequence[float]], name: str, base: str) -> dict[str, float | str]:
    """The median ratio of ``name`` to ``base`` in a round, and the middle half of all rounds."""
    found = sorted(a / b for a, b in zip(times[name], times[base], strict=True))
    low, high = found[0], found[-1]
    if len(found) > 2:
        low, _, high = statistics.quantiles(found, n=4, method="inclusive")
    return {f"x {base}": round(statistics.median(found), 3), "middle half": f"{low:.3f} to {high:.3f}"}


def rounded(number: float) -> float | int:
    """Three digits, and whole numbers from 100 on."""
    return round(number) if number >= 100 else float(f"{number:.3g}")


class PeakMemory:
    """MiB above what was resident at the start, and in all; None where the system cannot say."""

    mebibytes: float | None = None
    in_all: float | None = None

    def set(self, before: float, highest: float) -> None:
        self.mebibytes, self.in_all = highest - before, highest


@contextmanager
def peak_memory() -> Iterator[PeakMemory]:
    """``with peak_memory() as peak: ...`` then ``peak.mebibytes``: CUDA's own count, or Linux's high-water mark."""
    peak = PeakMemory()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield peak
        peak.set(before / 2**20, torch.cuda.max_memory_allocated() / 2**20)
        return
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        yield peak
        return
    reset.write_text("5")
    before = _status_kibibytes("VmRSS")
    yield peak
    peak.set(before / 2**10, _status_kibibytes("VmHWM") / 2**10)


def _status_kibibytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])
