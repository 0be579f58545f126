"""Concept files are saved whole or not at all, and what none can hold is refused before."""

from __future__ import annotations

import errno
import re
import signal
from pathlib import Path

import pytest
import torch

from builders.concepts import small_concept
from perfusion_ops.concept.file import ConceptFileError, concept_bytes, save_concept


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"word": "<\x00>"}, "control characters in its word"),
        ({"word": "<\ud800>"}, "control characters in its word"),
        ({"superclass": "x" * 65}, "65 bytes of superclass; expected at most 64"),
        ({"base_family": "SD 1"}, "base family 'SD 1'"),
        ({"metadata": {"description": "x" * 241}}, "241 bytes of description; expected at most 240"),
        ({"metadata": {"layers": "x"}}, "under the key 'layers'"),
        ({"metadata": {"a": "x" * 900, "b": "y" * 900}}, "bytes of metadata; expected at most"),
        ({"word_embeddings": {}}, "names the text encoders"),
        ({"word_embeddings": {"L": torch.ones(3)}}, "names the text encoders"),
        ({"value_residuals": {"a b": torch.ones(3)}}, "layer name 'a b'"),
        ({"value_residuals": {"a": torch.full((3,), 1e6)}}, "numbers above 65,504 of its value_residuals in fp16"),
        ({"key_residuals": {"other": torch.ones(3)}}, "key residuals of other layers"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_before_anything_is_written(tmp_path, changes, sentence):
    with pytest.raises(ConceptFileError, match=re.escape(sentence)) as caught:
        save_concept(small_concept(**changes), tmp_path / "rex.safetensors")
    assert str(caught.value).startswith("'rex.safetensors' ")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_precision_is_named():
    with pytest.raises(ValueError, match="'fp8'; expected one of fp32, fp16, int8"):
        concept_bytes(small_concept(), "x", "fp8")


# Atomic saving


def assert_old_file_survives(path: Path) -> None:
    old = path.read_bytes()
    with pytest.raises(ConceptFileError, match="'rex.safetensors' could not be saved .*; expected .* bytes of room"):
        save_concept(small_concept(word="<new>"), path)
    assert path.read_bytes() == old
    assert [p.name for p in path.parent.iterdir()] == [path.name], "a temporary file was left behind"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "rex.safetensors"
    save_concept(small_concept(), path)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"os.{step}", full)
    assert_old_file_survives(path)


def test_a_file_cut_off_by_the_system_leaves_the_old_file(tmp_path):
    resource = pytest.importorskip("resource", reason="file size limits are Unix's")
    path = tmp_path / "rex.safetensors"
    save_concept(small_concept(), path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        assert_old_file_survives(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    for folder in (tmp_path / "missing", Path("/proc")):
        with pytest.raises(ConceptFileError, match="could not be saved") as caught:
            save_concept(small_concept(), folder / "rex.safetensors")
        assert str(folder) in str(caught.value)
