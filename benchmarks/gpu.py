"""Everything that needs a GPU, in eight minutes: tests, training, sampling and every memory mode.

    python dev.py gpu [--out bench_out/gpu]
    python dev.py gpu --rehearse            the same parts on a CPU, at tiny size, in two or three

Leaves ``gpu.json`` and the page ``gpu.md`` in the folder, both brought up to date after every part. Each part runs in
a process of its own and ends at its deadline at the latest; what it found until then stays.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from full_size import host
from report import markdown_table, origin, write_record


@dataclass(frozen=True)
class Part:
    """``module.function(*arguments, rehearse, folder)`` yields the rows."""

    name: str
    module: str
    seconds: int
    """Its share of the eight minutes; time that a part leaves is its successors'."""
    function: str = "run"
    arguments: tuple[str, ...] = ()


PARTS = (
    Part("tests marked gpu", "suite", 30, "marked"),
    Part("training, SD 1.5", "training", 55, arguments=("sd1",)),
    Part("training, SDXL", "training", 75, arguments=("sdxl",)),
    Part("sampling, SD 1.5", "sampling", 40, arguments=("sd1",)),
    Part("sampling, SDXL", "sampling", 55, arguments=("sdxl",)),
    Part("memory modes", "modes", 120),
    Part("tests inside ComfyUI", "suite", 105, "with_host"),
)
ONCE = ("training, SDXL", "sampling, SDXL")
"""Parts that a rehearsal leaves out: at tiny size they are the same as their like for SD 1.5."""
PATIENCE = 4
"""How many times its share of time a part may take in a rehearsal, as others may work on the machine."""
REHEARSAL = "**A rehearsal on a CPU at tiny size: it shows that every part runs. No figure says anything about a GPU.**"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, at tiny size")
    parser.add_argument("--out", type=Path, default=Path("bench_out/gpu"), help="the folder to write to")
    parser.add_argument("--part", choices=[part.name for part in PARTS], help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["PERFUSION_DEVICE"] = "cpu" if options.rehearse else "cuda"
    if options.rehearse:
        os.environ |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    if options.part:
        measure(next(part for part in PARTS if part.name == options.part), options.rehearse, options.work)
        return 0
    if not options.rehearse and not torch.cuda.is_available():
        sys.exit("No CUDA device was found. `python dev.py gpu --rehearse` runs the same parts on a CPU.")
    found = Results(options.rehearse, options.out)
    begin, deadline = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as work:
        for part in PARTS:
            deadline += part.seconds * (PATIENCE if options.rehearse else 1)
            if not (options.rehearse and part.name in ONCE):
                found.run(part, Path(work), begin + deadline)
    print(f"{options.out / 'gpu.md'}: {time.monotonic() - begin:.0f} s", flush=True)
    return 0 if all(part["ended"] == "finished" for part in found.parts) else 1


def measure(part: Part, rehearse: bool, folder: Path) -> None:
    """In the part's own process: write its rows to ``folder/rows.jsonl``, each as it is found."""
    run = getattr(importlib.import_module(f"gpu_parts.{part.module}"), part.function)
    with open(folder / "rows.jsonl", "w", encoding="utf-8", buffering=1) as file:
        for row in run(*part.arguments, rehearse, folder):
            file.write(json.dumps(row) + "\n")


class Results:
    """What was found so far, and its two files."""

    def __init__(self, rehearse: bool, out: Path) -> None:
        self.rehearse, self.out, self.parts, self.tables = rehearse, out, [], {}
        command = "python dev.py gpu" + " --rehearse" * rehearse
        self.origin = origin() | {"command": command, "comfyui": host.host_version()}

    def run(self, part: Part, work: Path, deadline: float) -> None:
        """Run ``part`` until ``deadline`` (of ``time.monotonic``) and add what it found to the files."""
        print(f"{part.name} ...", flush=True)
        folder = work / str(len(self.parts))
        folder.mkdir()
        begin = time.monotonic()
        command = [sys.executable, __file__, "--part", part.name, "--work", str(folder)]
        ended = run_until(deadline, command + ["--rehearse"] * self.rehearse, folder / "log")
        lines = (folder / "rows.jsonl").read_text().splitlines() if (folder / "rows.jsonl").exists() else []
        self.tables[part.name] = [json.loads(line) for line in lines]
        self.parts.append({"part": part.name, "ended": ended, "rows": len(lines), "s": round(time.monotonic() - begin)})
        write_record(self.out / "gpu.json", {"origin": self.origin, "tables": {"parts": self.parts, **self.tables}})
        (self.out / "gpu.md").write_text(self.page(), encoding="utf-8")

    def page(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.origin["versions"].items())
        where = f"{self.origin['device']}; {versions}; commit {self.origin['commit']}; {self.origin['date']}"
        lines = ["# What needs a GPU", "", *[REHEARSAL, ""] * self.rehearse, where, "", markdown_table(self.parts)]
        for name, rows in self.tables.items():
            lines += ["", f"## {name[0].upper()}{name[1:]}", "", markdown_table(rows) if rows else "not measured"]
        return "\n".join(lines) + "\n"


def run_until(deadline: float, command: list[str], log: Path) -> str:
    """Run ``command`` and end it, with all that it started, at ``deadline``; in words, how it ended."""
    begin = time.monotonic()
    with open(log, "w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
    try:
        code = process.wait(max(1.0, deadline - begin))
    except subprocess.TimeoutExpired:
        return f"not finished in {time.monotonic() - begin:.0f} s"
    finally:
        # Servers that the part started would outlive it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if code == 0:
        return "finished"
    lines = log.read_text(errors="replace").splitlines()
    print("\n".join(lines[-30:]), flush=True)
    return f"failed: {lines[-1][:200] if lines else f'code {code}'}"


if __name__ == "__main__":
    sys.exit(main())
