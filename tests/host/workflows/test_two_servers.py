"""Two ComfyUI servers that share one folder of concepts: they save, replace, load and draw at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from builders.server import Server
from builders.workflows import Workflow, picture, random_concept
from perfusion_ops.concept.file import load_concept, save_concept

SAVES, PICTURES = 12, 4


@pytest.mark.slow
def test_two_servers_that_share_a_folder_lose_tear_and_change_nothing(comfyui_path, checkpoint, tmp_path):
    """Two ComfyUIs may share one folder of concepts."""
    shared = tmp_path / "concepts"
    shared.mkdir()
    for name, seed in (("teddy", 1), ("cat", 3)):
        save_concept(random_concept(f"{name}_t", name, seed), shared / f"{name}.safetensors", "fp32")
    bases = [base_folder(tmp_path / name, checkpoint("sd1"), shared) for name in ("first", "second")]
    # Without its cache a server runs every workflow anew.
    first, second = (Server(comfyui_path, base, ("--cache-none",)) for base in bases)
    with first, second:
        alone = draw(first)
        with ThreadPoolExecutor(2) as pool:
            work = [pool.submit(busy, server) for server in (first, second)]
            drawn = [picture for done in work for picture in done.result()]
    kept = sorted(shared.glob("kept*.safetensors"))
    for file in [*kept, shared / "again.safetensors"]:
        load_concept(file)
    assert len(kept) == 2 * SAVES
    assert not list(shared.glob(".*"))
    assert len(drawn) == 2 * PICTURES and all(np.array_equal(picture, alone) for picture in drawn)


def base_folder(folder: Path, checkpoint: Path, shared: Path) -> Path:
    """A server's own folder whose concepts, trained and loaded, are the shared ones."""
    for name in ("models/checkpoints", "output"):
        (folder / name).mkdir(parents=True)
    (folder / "models/checkpoints/sd1.safetensors").symlink_to(checkpoint)
    (folder / "models/perfusion").symlink_to(shared, target_is_directory=True)
    (folder / "output/perfusion").symlink_to(shared, target_is_directory=True)
    return folder


def busy(server: Server) -> list[np.ndarray]:
    """Save new files under one name, replace one, and draw with a concept of the folder, all in turn."""
    drawn = []
    for turn in range(SAVES):
        for name, overwrite in (("kept", False), ("again", True)):
            graph = Workflow()
            concept = graph.add("PerfusionLoadConcept", concept="cat.safetensors")
            saved = {"filename": name, "precision": "fp16", "overwrite": overwrite}
            graph.add("PerfusionSaveConcept", concept=concept[0], **saved)
            server.run(graph)
        if turn < PICTURES:
            drawn.append(draw(server))
    return drawn


def draw(server: Server) -> np.ndarray:
    """One picture with a concept of the shared folder."""
    graph, node = picture("a photo of a teddy_t on a beach", [("teddy.safetensors", {})])
    return server.pictures(server.run(graph), node)
