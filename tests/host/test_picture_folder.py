"""A folder of photographs on the real server, by our node and by ComfyUI's own, straight into a training."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from builders.server import Rejected, Server, WorkflowError
from builders.workflows import Output, Workflow, load, train

FOLDER = "photographs of a box"


@pytest.fixture
def folder(server):
    """Two pictures of different sizes in the server's input folder, one with a caption, one with a mask."""
    made = server.folder / "input" / FOLDER
    made.mkdir()
    for name, size in (("box10.png", (64, 64)), ("box2.jpg", (96, 64))):
        pixels = np.random.RandomState(size[0]).randint(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(made / name)
    (made / "box2.txt").write_text("a photo of a box on a table")
    yield made
    shutil.rmtree(made)
    shutil.rmtree(server.folder / "output/perfusion/trained", ignore_errors=True)


def pictures(graph: Workflow, kind: str = "PerfusionPictureFolder", **settings) -> tuple[Output, Output, Output]:
    settings = settings or ({"longest_side": 1536} if kind == "PerfusionPictureFolder" else {})
    node = graph.add(kind, folder=FOLDER, **settings)
    return node[0], node[1], node[2]


def shown(server: Server, output: Output, graph: Workflow) -> list:
    node = graph.add("PreviewAny", source=output)
    return server.run(graph).outputs[node.name]["text"]


def trained_on(server: Server, graph: Workflow, images: Output, **settings) -> str:
    """The name of the training's file, which is made of everything that decides it."""
    train(graph, images, load(graph), steps=1, word="folderbox", **settings)
    server.run(graph)
    trained = server.folder / "output/perfusion/trained"
    (file,) = trained.glob("folderbox_*.safetensors")
    shutil.rmtree(trained)
    return file.name


def test_the_folder_is_offered_and_its_pictures_come_with_captions_and_masks(server, folder):
    """One node takes what five Load Image nodes took, with what lies beside the pictures."""
    inputs = server.get("/object_info/PerfusionPictureFolder")["PerfusionPictureFolder"]["input"]["required"]
    assert FOLDER in json.dumps(inputs["folder"])
    graph = Workflow()
    assert shown(server, pictures(graph)[1], graph) == ["a photo of a box on a table", ""]


def test_a_new_picture_is_noticed(server, folder):
    """A picture that is added to the folder is trained on, and not a list from the cache."""
    graph = Workflow()
    graph.add("PreviewAny", source=pictures(graph)[1])
    (told,) = server.run(graph).events_of("perfusion.told")
    assert " pictures, " in told["text"], "newer frontends take the node's line away: a message says what was loaded"
    shutil.copy(folder / "box2.jpg", folder / "box11.jpg")
    (folder / "box11.txt").write_text("a new box")
    assert "a new box" in json.dumps(server.run(graph).outputs)


def test_the_hosts_own_folder_loaders_train_as_ours_does(server, folder):
    """Whoever has ComfyUI's folder loaders in a workflow connects them, captions included."""
    ours, hosts, plain = Workflow(), Workflow(), Workflow()
    images, captions, _ = pictures(ours)
    named = trained_on(server, ours, images, captions=captions)
    # ComfyUI's loader takes the files in the disk's own order.
    in_order = [name for name in os.listdir(folder) if not name.endswith(".txt")] == ["box2.jpg", "box10.png"]
    images, captions, _ = pictures(hosts, "LoadImageTextDataSetFromFolder")
    assert (trained_on(server, hosts, images, captions=captions) == named) is in_order
    images, *_ = pictures(plain, "LoadImageDataSetFromFolder")
    assert trained_on(server, plain, images) != named, "captions decide the training"


def test_masks_of_a_folder_are_taken_by_train(server, folder):
    """A mask beside one picture masks that picture, and the others count as a whole."""
    mask = np.zeros((64, 96), np.uint8)
    mask[:, :48] = 255
    Image.fromarray(mask).save(folder / "box2_mask.png")
    masked, plain = Workflow(), Workflow()
    images, _, masks = pictures(masked)
    assert trained_on(server, masked, images, masks=masks) != trained_on(server, plain, pictures(plain)[0])


def test_what_cannot_be_used_is_told_on_the_node(server, folder):
    """Files that fit nothing are named: a stray caption while it goes on, a file that cannot be opened at once."""
    (folder / "notes.txt").write_text("of no picture")
    graph = Workflow()
    graph.add("PreviewAny", source=pictures(graph)[1])
    assert "No picture has the name of notes.txt; rename it to be its caption." in server.run(graph).texts()
    (folder / "IMG_0001.HEIC").write_bytes(b"no decoder reads this")
    with pytest.raises(WorkflowError, match=r"IMG_0001.HEIC \(ComfyUI cannot open this HEIC file\)"):
        server.run(graph)


@pytest.mark.parametrize("name", ["nothing", "../output", ""])
def test_a_folder_outside_or_not_there_is_refused_before_anything_runs(server, name):
    """No workflow of another person reads files outside the input folder."""
    graph = Workflow()
    node = graph.add("PerfusionPictureFolder", folder=name, longest_side=1536)
    graph.add("PreviewAny", source=node[1])
    with pytest.raises(Rejected, match="There is no folder .* in ComfyUI's input folder"):
        server.run(graph)
