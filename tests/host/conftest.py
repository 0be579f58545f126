"""The real host for tests: checkpoints, one shared server, servers of one's own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from server import ROOT, Server  # noqa: E402
from workflows import random_concept  # noqa: E402

from perfusion_ops.concept_file import save_concept  # noqa: E402

MAKER = Path(__file__).with_name("make_checkpoints.py")
CONCEPTS = {"teddy": ("teddy_t", "bear", 1), "mug": ("mug_m", "coffee cup", 2), "cat": ("cat_c", "cat", 3)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.host)


@pytest.fixture(scope="session")
def checkpoint(comfyui_path):
    """``checkpoint("sd1")``: a small random checkpoint of that family, made once per version of its maker."""

    def make(family: str) -> Path:
        key = hashlib.sha256(MAKER.read_bytes()).hexdigest()[:12]
        path = ROOT / "build" / "checkpoints" / f"{family}-{key}.safetensors"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            subprocess.run([sys.executable, "-P", MAKER, comfyui_path, family, partial], check=True, timeout=600)
            partial.rename(path)
        return path

    return make


@pytest.fixture(scope="session")
def host_folder(tmp_path_factory, checkpoint):
    """``host_folder()``: a new base folder with the SD 1.x checkpoint and the concepts in it."""

    def make(*families: str) -> Path:
        folder = tmp_path_factory.mktemp("host")
        (folder / "models/checkpoints").mkdir(parents=True)
        (folder / "models/perfusion").mkdir(parents=True)
        for family in families or ("sd1",):
            (folder / f"models/checkpoints/{family}.safetensors").symlink_to(checkpoint(family))
        for file, (word, superclass, seed) in CONCEPTS.items():
            concept = random_concept(word, superclass, seed)
            save_concept(concept, folder / f"models/perfusion/{file}.safetensors", "fp32")
        return folder

    return make


@pytest.fixture(scope="session")
def server(comfyui_path, host_folder):
    """One server for all tests that leave it as they found it."""
    with Server(comfyui_path, host_folder()) as running:
        yield running


@pytest.fixture
def draw(server):
    """``draw(*picture(...))``: run a workflow on the shared server; its pictures (N, H, W, 3)."""

    def run(workflow, node):
        return server.pictures(server.run(workflow), node)

    return run
