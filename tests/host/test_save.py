"""Save Perfusion Concept on the real server: names, folders, full and read-only disks."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from builders.server import WorkflowError
from builders.workflows import Workflow


def save_workflow(filename: str, **settings) -> Workflow:
    graph = Workflow()
    concept = graph.add("PerfusionLoadConcept", concept="teddy.safetensors")[0]
    inputs = {"precision": "fp16", "overwrite": False, **settings}
    graph.add("PerfusionSaveConcept", concept=concept, filename=filename, **inputs)
    return graph


def saved_text(result) -> str:
    return next(iter(result.outputs.values()))["text"][0]


def test_saving_again_adds_a_number_unless_told_to_overwrite(server):
    """No concept is lost to another one of the same name."""
    first = server.run(save_workflow("pets/rex"))
    assert "pets/rex.safetensors" in saved_text(first) and first.texts() == [saved_text(first)], "it stands on the node"
    assert "pets/rex_2.safetensors" in saved_text(server.run(save_workflow("pets/rex ")))
    assert "pets/rex.safetensors" in saved_text(server.run(save_workflow("pets/rex", overwrite=True)))


@pytest.mark.parametrize(
    "name", ["", "  ", ".", "..", "../up", "a/../../up", "/etc/passwd", "C:/x", "a\\..\\..\\b", "x" * 300, "a|b"]
)
def test_unsafe_names_are_refused(server, name):
    """A workflow from the internet cannot write outside the folder of concepts."""
    before = sorted(server.folder.rglob("*.safetensors"))
    with pytest.raises(WorkflowError, match="The file name is .*; expected a name"):
        server.run(save_workflow(name))
    assert sorted(server.folder.rglob("*.safetensors")) == before


def test_a_read_only_folder_is_refused_with_a_sentence(server):
    """Who cannot save reads why.

    A file where a folder is needed: the same error class as a folder without permission, also for root.
    """
    blocked = server.folder / "output/perfusion/blocked"
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("a file")
    with pytest.raises(WorkflowError, match=r"The folder '.*blocked' could not be made \(File exists\)"):
        server.run(save_workflow("blocked/rex"))
    assert blocked.read_text() == "a file"


def test_a_full_disk_is_refused_with_a_sentence_and_leaves_no_half_a_file(server):
    """A full disk is told to the user, and no broken concept is left in the list."""
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
