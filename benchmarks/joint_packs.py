"""The concept beside other people's packs in today's models, in the real host with small random files.

    python dev.py bench joint_packs --folder DIR [--only TEXT ...] [--families FAMILY ...] [--record]

DIR holds clones of the packs, each with what it needs installed; a pack that is not there has no row. A node that
patches the model is tried before Apply Key-Locked Attention and after it. With --record, writes its table into
docs/compatibility.md. Ends with 1 when a row is silent, crashes, or differs.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from builders.family_files import file_of, install, write_concepts
from builders.other_packs.joint import ROWS, TITLES, JointRow, load_joint, names_of
from builders.other_packs.rows import Scene
from builders.server import Rejected, Server, WorkflowError
from builders.workflows import Workflow, apply
from pack_tables import OURS, UNABLE, brief, effect_of, exit_status, record, titled
from packs import is_tried, link_packs
from report import add_record_option

PROMPT = "a photo of a {} on a red beach"
ORDERS = ("before Apply", "after Apply")


def prepare(folder: Path, comfyui: Path, packs: Path, families: list[str]) -> None:
    """Files and concepts in a host's folder, and the packs linked in."""
    (folder / "custom_nodes").mkdir(parents=True)
    link_packs(folder, packs)
    names = [(place, name) for family in families for place, files in names_of(family).items() for name in files]
    install(folder, {f"{place}/{name}": file_of(place, name) for place, name in names}, comfyui)
    write_concepts(folder, families, comfyui)


class Bench:
    def __init__(self, server: Server) -> None:
        self.server, self.info = server, server.get("/object_info")
        self.first: dict[str, np.ndarray] = {}
        """What core draws before a pack does."""

    def draw(
        self, row: JointRow, family: str, word: str, strength: float | None, order: str
    ) -> tuple[np.ndarray, str]:
        """The picture of a prompt, and what nodes said. Without our nodes for ``strength`` None."""
        graph = Workflow()
        scene = Scene(graph, family, self.info, *load_joint(graph, family), PROMPT.format(word))
        if row.patch and order == ORDERS[0]:
            row.patch(scene)
        if strength is not None:
            file = f"{family}.safetensors"
            scene.model, scene.clip = apply(graph, scene.model, scene.clip, file, visual_strength=strength)
        if row.patch and order != ORDERS[0]:
            row.patch(scene)
        graph.add("PreviewImage", images=row.draw(scene, row.encode(scene)))
        result = self.server.run(graph)
        return self.server.pictures(result, str(len(graph))), " ".join(result.texts())

    def plain(self, family: str) -> np.ndarray:
        """What core draws."""
        return self.draw(ROWS[0], family, "bear", None, "")[0]

    def verdict(self, row: JointRow, family: str, order: str) -> str:
        if family not in row.families:
            return ""
        # Some packs change what the loader keeps: every row gets a model of its own.
        self.server.post("/free", {"free_memory": True, "unload_models": True})
        if family not in self.first:
            self.first[family] = self.plain(family)
        try:
            superclass, _ = self.draw(row, family, "bear", None, order)
        except KeyError:
            return self.missing(row.pack)
        except (WorkflowError, Rejected) as error:
            return f"{UNABLE}: {brief(error)}"
        try:
            (once, said), (twice, _) = (self.draw(row, family, "teddy_t", each, order) for each in (1.0, 2.0))
            effect = effect_of(once, twice, superclass, said)
        except (WorkflowError, Rejected) as error:
            ours = any(text in str(error) for text in OURS)
            effect = f"refused: {brief(error)}" if ours else f"**crashes**: {brief(error)}"
        unharmed, _ = self.draw(row, family, "bear", 1.0, order)
        effect += "" if np.array_equal(unharmed, superclass) else "; **a prompt without the word differs**"
        if row.patch and not row.loads and np.array_equal(superclass, self.first[family]):
            effect += " (the node itself changes nothing here)"
        kept = np.array_equal(self.first[family], self.plain(family))
        return effect if kept else f"{effect}; **the plain model differs after it**"

    def missing(self, pack: str) -> str:
        """Why a pack has no such node."""
        said = rf"Cannot import \S*/{re.escape(pack)} module for custom nodes: (.*)"
        found = re.search(said, self.server.startup_log)
        return f"does not load in this ComfyUI: {brief(found[1])}" if found else "no such node"

    def outcomes(self, packs: Path, only: list[str], families: list[str]) -> Iterator[dict[str, str]]:
        for row in ROWS:
            if not is_tried(row, packs, only) or not set(families) & set(row.families):
                continue
            for order in ORDERS[: 1 if row.loads else 2] if row.patch else ("",):
                cells = {TITLES[family]: self.verdict(row, family, order) for family in families}
                print(row.pack, "|", row.name, order, "|", " | ".join(cells.values()), flush=True)
                yield {"pack": titled(row, packs), "what": f"{row.name}, {order}" if order else row.name, **cells}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the packs are cloned")
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT", help="rows whose pack or name holds a text")
    parser.add_argument("--families", nargs="+", choices=list(TITLES), default=list(TITLES), help="models to try")
    add_record_option(parser)
    arguments = parser.parse_args()
    comfyui, packs = Path(os.environ.get("COMFYUI_PATH") or sys.exit("Set COMFYUI_PATH.")), arguments.folder.resolve()
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), comfyui, packs, arguments.families)
        with Server(comfyui, Path(folder)) as server:
            rows = list(Bench(server).outcomes(packs, arguments.only, arguments.families))
            version = server.get("/system_stats")["system"]["comfyui_version"]
    if arguments.record:
        record("joint packs", rows, arguments.only, version)
    return exit_status(rows)


if __name__ == "__main__":
    sys.exit(main())
