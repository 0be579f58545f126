"""Every benchmark's way out: tables in markdown to read, and a record that says where their figures come from."""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "benchmarks" / "results"
Rows = Sequence[Mapping[str, Any]]


def origin() -> dict[str, Any]:
    """Date, commit, command, device and versions."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "date": datetime.date.today().isoformat(),
        "commit": commit.stdout.strip() or "unknown",
        "command": command(sys.argv),
        "device": device_name(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }


def command(arguments: Sequence[str]) -> str:
    """What to write in a shell for the same figures: the folder of the results is the reader's own."""
    program, *options = arguments
    if "--out" in options:
        place = options.index("--out")
        del options[place : place + 2]
    return f"python dev.py bench {Path(program).stem} {shlex.join(options)}".strip()


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


def markdown_table(rows: Rows) -> str:
    """Rows of one shape as a markdown table; floats with three digits."""
    header = list(rows[0])
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    for row in rows:
        lines.append("| " + " | ".join(_cell(row[name]) for name in header) + " |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def add_record_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--record", action="store_true", help="write the tables of record, benchmarks/results, anew")


def publish(name: str, tables: Mapping[str, Rows], folder: Path, record: bool = False, **extra: Any) -> None:
    """Print the tables and write ``NAME.json`` to ``folder``, and to the tables of record if asked."""
    filled = {title: rows for title, rows in tables.items() if rows}
    for title, rows in filled.items():
        print(f"\n### {title}\n\n{markdown_table(rows)}", flush=True)
    for target in (folder, RECORDS) if record else (folder,):
        write_record(target / f"{name}.json", {"origin": origin() | extra, "tables": filled})


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """JSON, a row of a table a line. A reader finds the old file or the new one, never half of one."""
    tables = ",\n".join(
        f"  {json.dumps(title, ensure_ascii=False)}: [\n"
        + ",\n".join(f"   {json.dumps(row, ensure_ascii=False)}" for row in rows)
        + "\n  ]"
        for title, rows in record["tables"].items()
    )
    text = f'{{\n "origin": {json.dumps(record["origin"], ensure_ascii=False)},\n "tables": {{\n{tables}\n }}\n}}\n'
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def replace_section(page: Path, name: str, text: str) -> None:
    """Put ``text`` between the marks of the section ``name`` of a page and leave the rest of the page as it is.

    Raises ValueError when the page has no such section.
    """
    begin, end = f"<!-- {name}: written by its command -->", f"<!-- {name}: end -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _old, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page.name} has no section between {begin} and {end}; add these two lines where it belongs.")
    page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")
