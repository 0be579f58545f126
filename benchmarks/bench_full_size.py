"""What Perfusion costs at full size, on the GPU if there is one: time, memory, files, growth, two servers.

    python dev.py bench bench_full_size                    every part, at the size for two cores, in under 15 minutes
    python dev.py bench bench_full_size sampling training  these parts
    python dev.py bench bench_full_size --scale patient    on two cores with more rounds, in half an hour
    python dev.py bench bench_full_size --scale full       the sizes users have; for a GPU
    python dev.py bench bench_full_size --cpu-time         CPU seconds of one thread, where others work too

Models have the true shapes and random weights, and are built by ComfyUI's own classes (COMFYUI_PATH). Each part runs in
a process of its own and writes JSON; the tables come out as markdown.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from full_size.scale import SCALES, Scale, on_this_machine
from report import markdown_table, write_report

PARTS = (
    "sampling",
    "once_per_prompt",
    "training",
    "text_encoding",
    "load_and_apply",
    "files",
    "growth",
    "two_servers",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}; all by default")
    parser.add_argument("--scale", choices=sorted(SCALES), default="reduced")
    parser.add_argument("--family", choices=("sd1", "sdxl", "sd1_short"), help="only this model, where several run")
    parser.add_argument("--out", type=Path, default=Path("bench_out/full_size"))
    parser.add_argument("--cpu-time", action="store_true", help="one thread, and the seconds it really worked")
    options = parser.parse_args()
    unknown = sorted(set(options.parts) - set(PARTS))
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; choose from {', '.join(PARTS)}")
    if options.cpu_time:
        os.environ |= {"PERFUSION_BENCH_CPU_TIME": "1", "OMP_NUM_THREADS": "1"}
        torch.set_num_threads(1)
    parts = options.parts or list(PARTS)
    if len(parts) == 1 or options.scale == "tiny":
        for part in parts:
            measure(part, on_this_machine(only(SCALES[options.scale], options.family)), options.out)
        return 0
    start = time.perf_counter()
    # A process each: the memory that one part leaves behind must not slow the next one down.
    common = ["--scale", options.scale, "--out", str(options.out)]
    common += ["--family", options.family] if options.family else []
    # One that is killed ends with a negative code.
    codes = [subprocess.run([sys.executable, __file__, part, *common]).returncode for part in parts]
    print(f"\nall parts: {time.perf_counter() - start:.0f} s", flush=True)
    return int(any(codes))


def only(scale: Scale, family: str | None) -> Scale:
    """``scale`` with the cases of one model; none: all of them."""
    if family is None:
        return scale
    lists = ("sampling", "profile", "training")
    return replace(scale, **{name: tuple(c for c in getattr(scale, name) if c.family == family) for name in lists})


def measure(part: str, scale: Scale, folder: Path) -> None:
    from full_size import host

    host.load_host()
    start = time.perf_counter()
    tables = importlib.import_module(f"full_size.{part}").run(scale)
    for title, rows in tables.items():
        if rows:
            print(f"\n### {title}\n\n{markdown_table(rows)}", flush=True)
    took, worked = round(time.perf_counter() - start, 1), round(sum(os.times()[:4]), 1)
    print(f"\n{part}: {took} s, {worked} s of CPU time with all that was loaded", flush=True)
    rows = [{"table": title, **row} for title, found in tables.items() for row in found]
    clock = "CPU time of one thread" if os.environ.get("PERFUSION_BENCH_CPU_TIME") else "wall clock"
    extra = {"scale": scale.name, "seconds": took, "cpu_seconds": worked, "clock": clock}
    extra["comfyui"] = host.host_version()
    write_report(folder / f"{part}.json", rows, **extra)


if __name__ == "__main__":
    sys.exit(main())
