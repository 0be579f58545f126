"""The command: each part in a process of its own, then its tables."""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import time
from pathlib import Path

import report

from . import first_step_against, host
from .scale import SCALES, Scale, on_this_machine, only

PARTS = (
    *("sampling", "training", "memory", "gate_memory", "joint_memory", "first_step", "photographs", "text_encoding"),
    *("load_and_apply", "picture_folder", "growth"),
)


def main(description: str) -> int:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}; all by default")
    parser.add_argument("--scale", choices=sorted(SCALES), default="reduced")
    parser.add_argument("--family", choices=("sd1", "sdxl", "sd1_short"), help="only this model, where several run")
    parser.add_argument("--against", metavar="COMMIT", help="first_step: beside the pack of this earlier commit")
    parser.add_argument("--out", type=Path, default=Path("bench_out/full_size"))
    report.add_record_option(parser)
    options = parser.parse_args()
    unknown = sorted(set(options.parts) - set(PARTS))
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; choose from {', '.join(PARTS)}")
    parts = options.parts or PARTS
    if len(parts) == 1 or options.scale == "tiny":
        for part in parts:
            measure(part, on_this_machine(only(SCALES[options.scale], options.family)), options)
        return 0
    # A process each: the memory that one part leaves behind must not slow the next one down.
    arguments = [argument for argument in sys.argv[1:] if argument not in parts]
    # One that is killed ends with a negative code.
    return int(any([subprocess.run([sys.executable, sys.argv[0], part, *arguments]).returncode for part in parts]))


def measure(part: str, scale: Scale, options: argparse.Namespace) -> None:
    host.load_host()
    start = time.perf_counter()
    tables = importlib.import_module(f"full_size.{part}").run(scale)
    if part == "first_step" and options.against:
        tables |= first_step_against.run(scale, options.against, options.family)
    took, worked = round(time.perf_counter() - start, 1), round(sum(os.times()[:4]), 1)
    extra = {"scale": scale.name, "seconds": took, "cpu_seconds": worked, "comfyui": host.host_version()}
    report.publish(f"full_size_{part}", tables, options.out, options.record, **extra)
    print(f"\n{part}: {took} s, {worked} s of CPU time with all that was loaded", flush=True)
