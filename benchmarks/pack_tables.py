"""The tables of other people's packs: what they say of one picture or one error, and where they are written."""

from __future__ import annotations

import re
import subprocess
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from report import ROOT, markdown_table, origin, replace_section

PAGE = ROOT / "docs/compatibility.md"
FULL, TOLD, SILENT = "full effect", "no effect, and says so", "**silently without effect**"
NAMES = {"sd1": "SD 1.x", "sdxl": "SDXL"}
UNABLE = "does not run here without the concept either"
OURS = ("concept", "Key-Locked Attention", "Another node")
"""Words of which every sentence of ours that refuses something has one."""
FLAT = "not measured: one flat colour with these random weights"


def effect_of(once: np.ndarray, twice: np.ndarray, superclass: np.ndarray, said: str) -> str:
    """What a concept at strengths 1 and 2 changed."""
    if not once.std() or not twice.std():
        return FLAT
    different = all(not np.array_equal(a, b) for a, b in ((once, twice), (once, superclass), (twice, superclass)))
    return FULL if different else TOLD if "no effect" in said else SILENT


def brief(error: object) -> str:
    """The first sentence, without the node's number and without places on this machine."""
    sentence = re.sub(r"^node \d+: |\(/.*?\)", "", " ".join(str(error).replace("|", "/").split())).split(". ")[0]
    return textwrap.shorten(sentence, 120, placeholder=" ...")


def commit(pack: Path) -> str:
    found = subprocess.run(["git", "-C", pack, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return found.stdout.strip()


def printed(log: str, packs: Path, rows: Sequence, family: str) -> list[dict[str, str]]:
    """The rows that a run for one family printed before it was stopped."""
    lines = (line.split(" | ", 2) for line in log.splitlines() if line.count(" | ") > 1)
    known = {(pack, name): cell for pack, name, cell in lines}
    found = [row for row in rows if (row.pack, row.name) in known]
    cells = [{NAMES[family]: known[row.pack, row.name]} for row in found]
    return [{"pack": titled(row, packs), "what": row.name} | cell for row, cell in zip(found, cells, strict=True)]


def titled(row, packs: Path) -> str:
    """A row's pack with its commit."""
    return f"{row.pack} {commit(packs / row.pack)}".strip()


def record(section: str, rows: list[dict[str, str]], only: list[str], version: str, whole: bool = True) -> None:
    """Write a table into the page, with the host's ``version`` and the rows that were asked for, if not all of them."""
    made, tried = origin(), f" Rows: {', '.join(only)}." if only else ""
    tried += "" if whole else f" The run was stopped after {len(rows)} rows."
    heading = f"ComfyUI {version}, {made['date']}, commit {made['commit']}.{tried}"
    replace_section(PAGE, section, f"{heading}\n\n{markdown_table(rows)}")


def exit_status(rows: list[dict[str, str]]) -> int:
    """1 when a row is wrong; says how many are."""
    wrong = [row for row in rows if any("**" in cell for cell in row.values())]
    print(f"{len(wrong)} of {len(rows)} rows are silent, crash or differ.")
    return 1 if wrong else 0
