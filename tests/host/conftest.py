"""The real host for tests: checkpoints, one shared server, servers of one's own, and the host in this process."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from builders import checkpoints
from builders.places import PACK, ROOT
from builders.server import Server, device
from builders.workflows import random_concept, training_pictures
from perfusion_ops.concept.file import save_concept

CONCEPTS = {
    "teddy": ("teddy_t", "bear", 1),
    "mug": ("mug_m", "coffee cup", 2),
    "cat": ("cat_c", "cat", 3),
    "boat": ("boat_b", "boat", 4),
}
ROOMS = {
    "drawing": ("canvas", "fonts", "gate_picture", "overlay"),
    "host": (
        *("applying", "belonging", "cells", "clip_identity", "last_layer"),
        *("clip", "concept_words", "conditioning", "device_memory", "encoded_prompt", "encoders", "fingerprints"),
        *("importing", "embeddings", "file_names", "gated_layers", "joint_call"),
        *("gates", "prompt_tokens", "subject_masks"),
        *("folders", "frozen_layers", "messages", "model", "naming", "private_copies", "short_prompts", "statistics"),
        *("network_reader", "own_encoders", "superclass_prompts", "thumbnails", "vocabularies", "whole_prompts"),
    ),
    "families": ("family", "joint", "rotations", "unet", "cross"),
    "training": (
        *("checks", "cross_model", "files", "joint_model", "loss_curve", "pictures"),
        *("preview", "progress", "run", "picture_files", "snapshots", "task", "texts"),
    ),
    "judging": ("axes", "drawing", "errors", "inputs", "judges", "point", "sheet", "sweep"),
}
"""The modules that the ``pack`` fixture gives by name."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.host)


@pytest.fixture(scope="session")
def checkpoint(comfyui_path):
    """``checkpoint("sd1")``: a small random checkpoint of that family, made once per version of its maker."""

    def make(family: str) -> Path:
        return checkpoints.checkpoint(family, comfyui_path)

    return make


@pytest.fixture(scope="session")
def host_folder(tmp_path_factory, checkpoint):
    """``host_folder()``: a new base folder with the SD 1.x checkpoint and the concepts in it."""

    def make(*families: str) -> Path:
        folder = tmp_path_factory.mktemp("host")
        (folder / "models/checkpoints").mkdir(parents=True)
        (folder / "models/perfusion").mkdir(parents=True)
        (folder / "input").mkdir()
        for family in families or ("sd1",):
            (folder / f"models/checkpoints/{family}.safetensors").symlink_to(checkpoint(family))
            for file, (word, superclass, seed) in CONCEPTS.items():
                name = file if family == "sd1" else f"{family}_{file}"
                concept = random_concept(word, superclass, seed, family)
                save_concept(concept, folder / f"models/perfusion/{name}.safetensors", "fp32")
        return folder

    return make


@pytest.fixture(scope="session")
def server(comfyui_path, host_folder):
    """One server for all tests that leave it as they found it."""
    with Server(comfyui_path, host_folder()) as running:
        yield running


@pytest.fixture(scope="session")
def trainer(comfyui_path, host_folder):
    """A server of its own with training pictures and measured statistics."""
    folder = host_folder()
    with Server(comfyui_path, folder) as server:
        server.shots = training_pictures(folder)
        yield server


@pytest.fixture
def draw(server):
    """``draw(*picture(...))``: run a workflow on the shared server; its pictures (N, H, W, 3)."""

    def run(workflow, node):
        return server.pictures(server.run(workflow), node)

    return run


@pytest.fixture(scope="session")
def pack(comfyui_path):
    """The pack's modules in this process, loaded as the host loads them: by path, under a name of its own."""
    sys.path.insert(0, str(comfyui_path))
    # As main.py does, before the host's nodes.py puts comfy/ first, where utils.py hides the folder of that name.
    importlib.import_module("utils.extra_config")
    from comfy.cli_args import args

    args.cpu = device() == "cpu"
    spec = importlib.util.spec_from_file_location(
        PACK, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACK] = module
    spec.loader.exec_module(module)
    modules = {name: importlib.import_module(f"{PACK}.nodes.{room}.{name}") for room in ROOMS for name in ROOMS[room]}
    ops = {"ops": "", "context": ".edit.context", "marks": ".edit.marks", "gate_table": ".edit.gate_table"}
    modules |= {name: importlib.import_module(f"{PACK}.perfusion_ops{path}") for name, path in ops.items()}
    return SimpleNamespace(**modules)


@pytest.fixture(scope="session")
def load_checkpoint(pack, checkpoint):
    """``load_checkpoint("sdxl")``: MODEL and CLIP of a small checkpoint, loaded by the host in this process."""
    import comfy.sd

    # The host takes small files from now on.
    importlib.import_module("builders.small_sizes")

    def load(family: str):
        path = str(checkpoint(family))
        return comfy.sd.load_checkpoint_guess_config(path, output_vae=False, output_clip=True)[:2]

    return load


@pytest.fixture(scope="session")
def loaded(load_checkpoint):
    """MODEL and CLIP of the small SD 1.x checkpoint."""
    return load_checkpoint("sd1")


@pytest.fixture(scope="session")
def pack_concept(pack):
    """``pack_concept(word, superclass, seed)``: a random concept of the pack's own type."""

    def make(word: str, superclass: str, seed: int = 1, family: str = "sd1"):
        concept = random_concept(word, superclass, seed, family)
        # The pack's own kind of gate: the enumeration of perfusion_ops is another class than the pack's.
        return pack.ops.Concept(**{name: value for name, value in vars(concept).items() if name != "gate"})

    return make


@pytest.fixture(scope="session")
def clip_identity(pack, loaded):
    """The fingerprint of the small SD 1.x checkpoint's text encoder."""
    return pack.fingerprints.encoder_identity({"l": pack.clip.text_encoder(loaded[1], "l")})
