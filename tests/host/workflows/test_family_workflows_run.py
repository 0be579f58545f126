"""The shipped workflows of the families beside Stable Diffusion, run as shipped on small files under their names."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from builders.family_files import install
from builders.family_recipes import RECIPES
from builders.family_templates import Template
from builders.family_workflows import TITLE
from builders.server import Server
from builders.template_trial import LEARNED
from builders.ui_workflows import shipped, to_api

pytestmark = pytest.mark.slow
PICTURE = "example.png"
TITLES = [title for title in RECIPES if title != "PixArt Sigma"]
"""No small file stands in for PixArt's, which is a pickle."""
LEARNING = ("LoadImage", "CreateList", "PerfusionTrainConcept", "PerfusionSaveConcept")
QUICK = {"steps": 2, "batch_size": 1, "resolution": 64, "width": 64, "height": 64}


def template(title: str) -> Template:
    return Template(title, shipped(TITLE.format(title)))


@pytest.fixture(scope="module")
def small_server(comfyui_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("families")
    wanted = {path: file for title in TITLES for path, file in template(title).files().items()}
    install(folder, wanted, Path(comfyui_path))
    with Server(Path(comfyui_path), folder) as server:
        pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "input" / PICTURE)
        yield server


def half(title: str, server, muted: bool) -> dict[str, dict]:
    """The workflow with its drawing side ``muted``, as it comes, or switched on; small, and in API form.

    A word is learned with the text statistics of few captions: enough to train with, and not minutes of waiting.
    """
    saved = copy.deepcopy(shipped(TITLE.format(title)))
    off = {node["id"] for node in saved["nodes"] if node["mode"] == 2}
    training = {node["id"] for node in saved["nodes"] if node["type"] in LEARNING}
    graph = to_api(saved, server)
    left_out = off if muted else training
    graph = {name: node for name, node in graph.items() if int(name) not in left_out}
    for node in graph.values():
        if node["class_type"] == "LoadImage":
            node["inputs"]["image"] = PICTURE
        node["inputs"] |= {name: value for name, value in QUICK.items() if name in node["inputs"]}
    if muted and template(title).family in LEARNED:
        (trained,) = (node["inputs"] for node in graph.values() if node["class_type"] == "PerfusionTrainConcept")
        measured = {"clip": trained["clip"], "model": trained["model"], "captions": 100, "own_captions": ""}
        graph["statistics"] = {"class_type": "PerfusionTextStatistics", "inputs": measured}
        trained["statistics"] = ["statistics", 0]
    return graph


@pytest.mark.parametrize("title", TITLES)
def test_a_familys_workflow_trains_and_then_draws(small_server, title):
    """Whoever opens it, chooses their files and does what its note says gets a concept, and a picture of it."""
    kept, drawn = (small_server.folder / "output" / place for place in ("perfusion", ""))
    before = set(kept.glob("my_subject*.safetensors")), set(drawn.glob("my_subject*.png"))
    small_server.run(half(title, small_server, muted=True))
    (saved,) = set(kept.glob("my_subject*.safetensors")) - before[0]
    drawing = half(title, small_server, muted=False)
    (chosen,) = (node["inputs"] for node in drawing.values() if node["class_type"] == "PerfusionLoadConcept")
    chosen["concept"] = saved.name
    small_server.run(drawing)
    (picture,) = set(drawn.glob("my_subject*.png")) - before[1]
    assert np.asarray(Image.open(picture)).std() > 0
