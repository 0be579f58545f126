"""Load and Save on the real server: names, folders, damaged files, full and read-only folders."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from builders.server import Rejected, WorkflowError
from builders.workflows import Workflow, random_concept
from perfusion_ops.concept.file import save_concept


def load_workflow(file: str) -> Workflow:
    graph = Workflow()
    loader = graph.add("PerfusionLoadConcept", concept=file)
    graph.add("PreviewAny", source=loader[1])
    return graph


def save_workflow(filename: str, **settings) -> Workflow:
    graph = Workflow()
    concept = graph.add("PerfusionLoadConcept", concept="teddy.safetensors")[0]
    inputs = {"precision": "fp16", "overwrite": False, **settings}
    graph.add("PerfusionSaveConcept", concept=concept, filename=filename, **inputs)
    return graph


def saved_text(result) -> str:
    return next(iter(result.outputs.values()))["text"][0]


def test_the_word_comes_out_as_text(server):
    result = server.run(load_workflow("teddy.safetensors"))
    assert "teddy_t" in json.dumps(result.outputs)


def test_a_changed_file_is_noticed(server):
    path = server.folder / "models/perfusion/changing.safetensors"
    save_concept(random_concept("first_word", "dog", 5), path)
    assert "first_word" in json.dumps(server.run(load_workflow(path.name)).outputs)
    save_concept(random_concept("second_word", "dog", 6), path)
    assert "second_word" in json.dumps(server.run(load_workflow(path.name)).outputs)


def test_a_missing_file_is_refused_before_anything_runs(server):
    with pytest.raises(Rejected, match="There is no concept file 'nothing.safetensors'"):
        server.run(load_workflow("nothing.safetensors"))


def test_saving_again_adds_a_number_unless_told_to_overwrite(server):
    assert "pets/rex.safetensors" in saved_text(server.run(save_workflow("pets/rex")))
    assert "pets/rex_2.safetensors" in saved_text(server.run(save_workflow("pets/rex ")))
    assert "pets/rex.safetensors" in saved_text(server.run(save_workflow("pets/rex", overwrite=True)))


@pytest.mark.parametrize(
    "name", ["", "  ", ".", "..", "../up", "a/../../up", "/etc/passwd", "C:/x", "a\\..\\..\\b", "x" * 300, "a|b"]
)
def test_unsafe_names_are_refused(server, name):
    before = sorted(server.folder.rglob("*.safetensors"))
    with pytest.raises(WorkflowError, match="The file name is .*; expected a name"):
        server.run(save_workflow(name))
    assert sorted(server.folder.rglob("*.safetensors")) == before


def test_a_read_only_folder_is_refused_with_a_sentence(server):
    """A file where a folder is needed: the same error class as a folder without permission, also for root."""
    blocked = server.folder / "output/perfusion/blocked"
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("a file")
    with pytest.raises(WorkflowError, match=r"The folder '.*blocked' could not be made \(File exists\)"):
        server.run(save_workflow("blocked/rex"))
    assert blocked.read_text() == "a file"


def test_a_full_disk_is_refused_with_a_sentence_and_the_old_file_stays(server):
    tiny = server.folder / "output/perfusion/full"
    tiny.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", tiny]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small file system")
    try:
        with pytest.raises(WorkflowError, match=r"could not be saved \(No space left on device\)"):
            server.run(save_workflow("full/rex"))
        assert list(tiny.iterdir()) == []
    finally:
        subprocess.run(["umount", tiny], check=True)


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
        "has concept format '9'; this version reads format 1",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_named_with_what_is_wrong(server, damage):
    change, sentence = DAMAGED[damage]
    path = server.folder / f"models/perfusion/damaged_{damage.replace(' ', '_')}.safetensors"
    save_concept(random_concept("rex", "dog", 5), path)
    data = path.read_bytes()
    changed = change(data)
    assert changed != data
    path.write_bytes(changed)
    with pytest.raises(WorkflowError, match=f"{re.escape(repr(path.name))} .*{re.escape(sentence)}"):
        server.run(load_workflow(path.name))
