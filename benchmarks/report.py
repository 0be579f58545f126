"""Every benchmark's way out: a markdown table to read, and JSON that says where each figure came from."""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent


def origin() -> dict[str, Any]:
    """Date, commit, command, device and versions."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "date": datetime.date.today().isoformat(),
        "commit": commit.stdout.strip() or "unknown",
        "command": " ".join(["python", Path(sys.argv[0]).name, *sys.argv[1:]]),
        "device": device_name(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }


def device_name(device: str = "") -> str:
    """The accelerator's own name, or the processor's with the threads in use."""
    if (device or ("cuda" if torch.cuda.is_available() else "cpu")).startswith("cuda"):
        return torch.cuda.get_device_name()
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ] if Path("/proc/cpuinfo").exists() else [platform.processor()]  # fmt: skip
    return f"{names[0]}, {torch.get_num_threads()} threads"


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of one shape as a markdown table; floats with three digits."""
    header = list(rows[0])
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    for row in rows:
        lines.append("| " + " | ".join(_cell(row[name]) for name in header) + " |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def write_report(path: Path, rows: Sequence[Mapping[str, Any]], **extra: Any) -> None:
    """JSON with the rows, whatever else belongs to them, and their origin."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"origin": origin(), "rows": list(rows), **extra}, indent=1) + "\n")
