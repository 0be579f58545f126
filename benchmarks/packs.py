"""The concept beside other people's packs, in the real host with small random checkpoints.

    python dev.py bench packs --folder DIR [--only TEXT ...]

DIR holds clones of the packs, each with what it needs installed; a pack that is not there has no row. Writes its table
into docs/compatibility.md, unless only some rows were tried. Ends with 1 when a row is silent, crashes, or differs.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from builders.checkpoints import checkpoint
from builders.other_packs.network_files import CHECKPOINTS, write_networks
from builders.other_packs.networks import NETWORK_ROWS
from builders.other_packs.rows import BOTH, LEARNED_WORD, POSITION, ROWS, Row, Scene
from builders.other_packs.unet import UNET_ROWS
from builders.server import Rejected, Server, WorkflowError, host_version
from builders.workflows import Workflow, apply, load, random_concept
from pack_tables import FLAT, NAMES, OURS, UNABLE, brief, effect_of, exit_status, printed, record, titled
from perfusion_ops import Concept
from perfusion_ops.concept.file import save_concept
from report import ROOT

STANDS = ROOT / "tests/builders/other_packs"
PROMPT = "a photo of a ({}:1.1) on a (red:0.95) beach"
TABLES = {"packs": ROWS, "U-Net packs": (*UNET_ROWS, *NETWORK_ROWS)}
"""Section of the page, before the families -> its rows."""
ANOTHER = "a second run of its node draws another picture on the loaded model, without ours too"
ONCE = "a second run of its node ends in an error on the loaded model, without ours too"


def prepare(folder: Path, comfyui: Path, packs: Path) -> None:
    """Checkpoints, concepts and random files of the packs' networks in a host's folder, and the packs linked in."""
    for name in ("models/checkpoints", "models/perfusion", "input", "custom_nodes"):
        (folder / name).mkdir(parents=True)
    link_packs(folder, packs)
    write_networks(folder / "models")
    torch.save(torch.randn(1, 64, generator=torch.Generator().manual_seed(1)), folder / "input/random.ipadpt")
    for family in BOTH:
        target = folder / f"models/checkpoints/{family}.safetensors"
        target.symlink_to(checkpoint(CHECKPOINTS[family], comfyui))
        concept = random_concept("teddy_t", "bear", 1, CHECKPOINTS[family])
        parts = {"word": concept.word, "superclass": concept.superclass, "base_family": family, "gate": "position"}
        placed = Concept(**parts, value_residuals=concept.value_residuals)
        for kind, each in ((LEARNED_WORD, concept), (POSITION, placed)):
            save_concept(each, folder / f"models/perfusion/{family} {kind}.safetensors", "fp32")


def link_packs(folder: Path, packs: Path) -> None:
    """The packs as custom nodes of a host's folder, with what stands for CUDA and for detectors of faces."""
    for pack in (*packs.iterdir(), STANDS / "without_cuda", STANDS / "without_faces"):
        (folder / "custom_nodes" / pack.name).symlink_to(pack)


class Bench:
    def __init__(self, server: Server) -> None:
        self.server, self.info = server, server.get("/object_info")

    def free(self) -> None:
        """Have every pack meet a model that none has met: unloading alone leaves what a pack changed there."""
        self.server.post("/free", {"free_memory": True, "unload_models": True})

    def draw(
        self, row: Row, family: str, word: str, strength: float | None, anew: bool = False
    ) -> tuple[np.ndarray, str]:
        """The picture of a prompt, and what nodes said. Without our nodes for ``strength`` None.

        With ``anew``, a node that changes nothing makes the pack's nodes run again.
        """
        graph = Workflow()
        model, clip, vae = load(graph, family)
        model = graph.add("ModelComputeDtype", model=model, dtype="default")[0] if anew else model
        scene = Scene(graph, family, self.info, model, clip, vae, PROMPT.format(word))
        if row.before:
            row.before(scene)
        early = row.encode(scene) if row.applied_late else None
        if strength is not None:
            file = f"{family} {row.gate}.safetensors"
            scene.model, scene.clip = apply(graph, scene.model, scene.clip, file, visual_strength=strength)
        image = row.draw(scene, row.encode(scene) if early is None else early)
        result = self.server.run(graph_with(graph, image))
        return self.server.pictures(result, str(len(graph))), " ".join(result.texts())

    def verdict(self, row: Row, family: str) -> str:
        if family not in row.families:
            return "no such node"
        self.free()
        try:
            superclass, _ = self.draw(row, family, "bear", None)
        except (WorkflowError, Rejected, KeyError) as error:
            return f"{UNABLE}: {brief(error)}"
        try:
            return self.effect(row, family, superclass)
        except (WorkflowError, Rejected) as error:
            if any(text in str(error) for text in OURS):
                return f"refused: {brief(error)}"
            if not self.runs_once(row, family):
                return f"**crashes**: {brief(error)}"
        return f"{self.effect(row, family, superclass, freed=True)}; {ONCE}"

    def runs_once(self, row: Row, family: str) -> bool:
        """Whether a second run of a pack's nodes on the loaded model ends in an error without ours too."""
        self.free()
        self.draw(row, family, "bear", None)
        try:
            self.draw(row, family, "bear", None, anew=True)
        except (WorkflowError, Rejected):
            return True
        return False

    def effect(self, row: Row, family: str, superclass: np.ndarray, freed: bool = False) -> str:
        """What a concept changed; with ``freed``, on a model that is loaded for every picture."""

        def drawn(word: str, strength: float) -> tuple[np.ndarray, str]:
            if freed:
                self.free()
            return self.draw(row, family, word, strength)

        (once, said), (twice, _), (plain, _) = drawn("teddy_t", 1.0), drawn("teddy_t", 2.0), drawn("bear", 1.0)
        effect = effect_of(once, twice, superclass, said)
        if effect == FLAT or np.array_equal(plain, superclass):
            return effect
        if np.array_equal(*(self.afresh(row, family, strength) for strength in (None, 1.0))):
            return f"{effect}; {ANOTHER}"
        return f"{effect}; **a prompt without the word differs**"

    def afresh(self, row: Row, family: str, strength: float | None) -> np.ndarray:
        """The picture that a server draws first: some nodes wrap what an earlier run left on the loaded model."""
        with Server(self.server.comfyui, self.server.folder) as server:
            return Bench(server).draw(row, family, "bear", strength)[0]

    def outcomes(
        self, packs: Path, rows: Sequence[Row], only: list[str], families: list[str]
    ) -> Iterator[dict[str, str]]:
        for row in rows:
            if is_tried(row, packs, only) and set(families) & set(row.families):
                cells = {NAMES[family]: self.verdict(row, family) for family in families}
                print(row.pack, "|", row.name, "|", *cells.values(), flush=True)
                yield {"pack": titled(row, packs), "what": row.name, **cells}


def is_tried(row, packs: Path, only: list[str]) -> bool:
    """Whether a row's pack is there, and the row among ``only`` those that were asked for."""
    here = row.pack == "ComfyUI" or (packs / row.pack).is_dir()
    return here and (not only or any(text.lower() in f"{row.pack} {row.name}".lower() for text in only))


def graph_with(graph: Workflow, image) -> Workflow:
    graph.add("PreviewImage", images=image)
    return graph


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the packs are cloned")
    parser.add_argument("--table", choices=TABLES, default="packs", help="whose rows are tried")
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT", help="rows whose pack or name holds a text")
    parser.add_argument("--families", nargs="+", choices=BOTH, default=list(BOTH), help="checkpoints to try")
    parser.add_argument("--record", action="store_true", help="write docs/compatibility.md")
    parser.add_argument("--printed", type=Path, metavar="FILE", help="record what a stopped run for a family printed")
    arguments = parser.parse_args()
    comfyui, packs = Path(os.environ.get("COMFYUI_PATH") or sys.exit("Set COMFYUI_PATH.")), arguments.folder.resolve()
    section = f"{arguments.table} {'+'.join(arguments.families)}"
    if arguments.printed:
        rows = printed(arguments.printed.read_text(), packs, TABLES[arguments.table], *arguments.families)
        record(section, rows, arguments.only, ".".join(map(str, host_version(comfyui))), whole=False)
        return exit_status(rows)
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), comfyui, packs)
        with Server(comfyui, Path(folder)) as server:
            rows = list(Bench(server).outcomes(packs, TABLES[arguments.table], arguments.only, arguments.families))
            version = server.get("/system_stats")["system"]["comfyui_version"]
    if arguments.record:
        record(section, rows, arguments.only, version)
    return exit_status(rows)


if __name__ == "__main__":
    sys.exit(main())
