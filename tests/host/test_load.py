"""Load Perfusion Concept on the real server: the list of files, changed files, damaged ones."""

from __future__ import annotations

import importlib
import json
import re

import pytest

from builders.places import PACK
from builders.server import Rejected, WorkflowError
from builders.workflows import Workflow, random_concept
from perfusion_ops.concept.file import save_concept


def load_workflow(file: str) -> Workflow:
    graph = Workflow()
    loader = graph.add("PerfusionLoadConcept", concept=file)
    graph.add("PreviewAny", source=loader[1])
    return graph


def test_the_word_comes_out_as_text(server):
    """A prompt can be built from the concept's own word."""
    result = server.run(load_workflow("teddy.safetensors"))
    assert "teddy_t" in json.dumps(result.outputs)


def test_a_changed_file_is_noticed(server):
    """A concept that was trained anew under the same name is drawn, and not the old one from a cache."""
    path = server.folder / "models/perfusion/changing.safetensors"
    save_concept(random_concept("first_word", "dog", 5), path)
    assert "first_word" in json.dumps(server.run(load_workflow(path.name)).outputs)
    save_concept(random_concept("second_word", "dog", 6), path)
    assert "second_word" in json.dumps(server.run(load_workflow(path.name)).outputs)


def test_a_missing_file_is_refused_before_anything_runs(server):
    """A workflow whose concept is not there says so at once, and not after minutes."""
    with pytest.raises(Rejected, match="There is no concept file 'nothing.safetensors'"):
        server.run(load_workflow("nothing.safetensors"))


DAMAGED = {
    "truncated": (lambda data: data[: len(data) // 2], "bytes of tensors; its header announces"),
    "empty": (lambda data: b"", "is 0 bytes long; expected a safetensors file"),
    "pickle": (
        lambda data: b"\x80\x04\x95\x0f\x00\x00\x00\x00\x00\x00\x00\x8c\x0bhello world\x94.",
        "is a Python pickle under the name of a safetensors file",
    ),
    "oversized": (lambda data: data + b"\0" * (3 * 1024 * 1024), "bytes long; expected at most"),
    # The last four bytes are one float32, or two float16, that are not numbers.
    "not numbers": (lambda data: data[:-4] + b"\xff\xff\xff\x7f", "holds values that are not finite in tensor"),
    "wrong schema": (
        lambda data: data.replace(b'"perfusion.format":"1"', b'"perfusion.format":"9"'),
        "has concept format '9'; this version reads formats 1 and 2",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_named_with_what_is_wrong(server, damage):
    """Who downloads a damaged or foreign file reads in one sentence what is wrong with it."""
    change, sentence = DAMAGED[damage]
    path = server.folder / f"models/perfusion/damaged_{damage.replace(' ', '_')}.safetensors"
    save_concept(random_concept("rex", "dog", 5), path)
    data = path.read_bytes()
    changed = change(data)
    assert changed != data
    path.write_bytes(changed)
    with pytest.raises(WorkflowError, match=f"{re.escape(repr(path.name))} .*{re.escape(sentence)}"):
        server.run(load_workflow(path.name))


def test_a_checkpoint_among_the_concepts_is_not_read_into_memory(pack, monkeypatch, tmp_path):
    """A large file in the wrong folder does not stop ComfyUI.

    The host asks for every file's fingerprint before it is loaded; this one is longer than any memory.
    """
    load = importlib.import_module(f"{PACK}.nodes.load")
    path = tmp_path / "huge.safetensors"
    with open(path, "wb") as file:
        file.truncate(2**42)
    monkeypatch.setattr(load.folders, "concept_path", lambda _name: path)
    first = load.PerfusionLoadConcept.fingerprint_inputs("huge.safetensors")
    with open(path, "r+b") as file:
        file.write(b"x")
    assert load.PerfusionLoadConcept.fingerprint_inputs("huge.safetensors") != first
