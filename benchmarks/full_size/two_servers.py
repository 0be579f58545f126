"""Two ComfyUI servers that share one folder of concepts: they save, overwrite, load and draw at the same time."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from . import host
from .scale import Scale

MAKER = host.ROOT / "tests" / "builders" / "make_checkpoints.py"
SAVES = 12
FAMILY = "sd1"


def run(scale: Scale) -> dict[str, list[dict[str, Any]]]:
    if not scale.server_pictures:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        return {"Two servers, one folder of concepts": [two_servers(Path(folder), scale.server_pictures)]}


def two_servers(folder: Path, pictures: int) -> dict[str, Any]:
    """Start both, let them work at once, and count what is lost, torn or different."""
    from builders.server import Server
    from builders.workflows import random_concept
    from perfusion_ops.concept.file import load_concept, save_concept

    checkpoint, shared = folder / "sd1.safetensors", folder / "concepts"
    subprocess.run([sys.executable, "-P", MAKER, host.host_path(), FAMILY, checkpoint], check=True, timeout=600)
    shared.mkdir()
    for name, seed in (("teddy", 1), ("cat", 3)):
        save_concept(random_concept(f"{name}_t", name, seed), shared / f"{name}.safetensors", "fp32")
    bases = [base_folder(folder / name, checkpoint, shared) for name in ("first", "second")]
    # Without its cache a server runs every workflow anew.
    first, second = (Server(host.host_path(), base, ("--cache-none",)) for base in bases)
    with first, second:
        alone = draw(first)
        with ThreadPoolExecutor(2) as pool:
            work = [pool.submit(busy, server, pictures) for server in (first, second)]
            drawn = [picture for done in work for picture in done.result()]
    files = sorted(shared.glob("kept*.safetensors"))
    for file in [*files, shared / "again.safetensors"]:
        load_concept(file)
    return {
        "servers": 2,
        "concepts each saved under one name at once": SAVES,
        "files kept": len(files),
        "of": 2 * SAVES,
        "torn or half-written files": len(list(shared.glob(".*"))),
        "pictures drawn meanwhile": len(drawn),
        "equal to the one drawn alone": sum(np.array_equal(picture, alone) for picture in drawn),
    }


def base_folder(folder: Path, checkpoint: Path, shared: Path) -> Path:
    """A server's own folder whose concepts, trained and loaded, are the shared ones."""
    for name in ("models/checkpoints", "models", "output"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "models/checkpoints" / checkpoint.name).symlink_to(checkpoint)
    (folder / "models/perfusion").symlink_to(shared, target_is_directory=True)
    (folder / "output/perfusion").symlink_to(shared, target_is_directory=True)
    return folder


def busy(server: Any, pictures: int) -> list[np.ndarray]:
    """Save new files under one name, overwrite one, and draw with a concept of the folder, all in turn."""
    from builders.workflows import Workflow

    drawn = []
    for turn in range(SAVES):
        for name, overwrite in (("kept", False), ("again", True)):
            graph = Workflow()
            concept = graph.add("PerfusionLoadConcept", concept="cat.safetensors")
            saved = {"filename": name, "precision": "fp16", "overwrite": overwrite}
            graph.add("PerfusionSaveConcept", concept=concept[0], **saved)
            server.run(graph)
        if turn < pictures:
            drawn.append(draw(server))
    return drawn


def draw(server: Any) -> np.ndarray:
    """One picture with a concept of the shared folder."""
    from builders.workflows import picture

    graph, node = picture("a photo of a teddy_t on a beach", [("teddy.safetensors", {})])
    return server.pictures(server.run(graph), node)
