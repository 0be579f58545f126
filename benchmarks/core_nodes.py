"""The concept beside every node, sampler and guider of ComfyUI's core, as the running host reports them.

    python dev.py bench core_nodes [--only NAME ...]

Writes its table into docs/compatibility.md, unless only some were tried. Ends with 1 when a row is neither good nor
explained in tests/builders/core_nodes/explained.json. Takes some twenty minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from builders.core_nodes.adapters import write_adapters
from builders.core_nodes.inventory import Row, rows
from builders.core_nodes.report import faults, stale, table
from builders.core_nodes.scene import CONCEPT
from builders.core_nodes.trial import Outcome, Trial
from builders.server import Server
from builders.workflows import random_concept
from perfusion_ops.concept.file import save_concept
from report import ROOT, origin, replace_section

PAGE = ROOT / "docs/compatibility.md"


def prepare(folder: Path, comfyui: Path) -> None:
    """A small random checkpoint, a concept for it and adapters in a host's folder."""
    for name in ("checkpoints", "perfusion", "controlnet"):
        (folder / "models" / name).mkdir(parents=True)
    files = {"sd1": folder / "models/checkpoints/sd1.safetensors", "controlnet": folder / "controlnet.safetensors"}
    for family, file in files.items():
        maker = ROOT / "tests/builders/make_checkpoints.py"
        subprocess.run([sys.executable, "-P", maker, comfyui, family, file], check=True)
    save_concept(random_concept("teddy_t", "bear", 1), folder / "models/perfusion" / CONCEPT, "fp32")
    write_adapters(folder / "models", files["controlnet"])


def tried(trial: Trial, chosen: Iterable[Row]) -> Iterator[Outcome]:
    for row in chosen:
        for outcome in trial.of(row):
            print(f"{row.kind} {row.name}, {outcome.place}: {outcome.outcome} {outcome.detail}", flush=True)
            yield outcome


def summary(outcomes: list[Outcome], version: str) -> str:
    """How many rows there are of each kind and outcome, then all of them."""
    made = origin()
    counts = Counter(outcome.outcome for outcome in outcomes)
    told = ", ".join(f"{outcome}: {number}" for outcome, number in counts.most_common())
    return (
        f"ComfyUI {version}, {made['date']}, commit {made['commit']}, on a processor. Places tried: {told}.\n\n"
        f"{table(outcomes)}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these rows and no others")
    arguments = parser.parse_args()
    comfyui = Path(os.environ.get("COMFYUI_PATH") or sys.exit("This needs ComfyUI. Set COMFYUI_PATH to its folder."))
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), comfyui)
        with Server(comfyui, Path(folder)) as server:
            trial = Trial(server)
            every = rows(trial.info)
            outcomes = list(tried(trial, [row for row in every if not arguments.only or row.name in arguments.only]))
            version = server.get("/system_stats")["system"]["comfyui_version"]
    if not arguments.only:
        replace_section(PAGE, "core_nodes", summary(outcomes, version))
    wrong = faults(outcomes) + [f"{name} is explained and works now" for name in sorted(stale(outcomes))]
    print("\n".join(wrong) or f"No fault in {len(outcomes)} places.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
