"""Files are saved whole or not at all: what a full disk or a broken folder leaves of a concept file."""

from __future__ import annotations

import errno
import os
import re
import signal
from pathlib import Path

import pytest

from builders.concepts import small_concept
from perfusion_ops.concept.file import ConceptFileError, save_concept
from perfusion_ops.files.atomic import NotSavedError, write_atomically


def assert_old_file_survives(path: Path) -> None:
    old = path.read_bytes()
    with pytest.raises(ConceptFileError, match="'rex.safetensors' could not be saved .*; expected .* bytes of room"):
        save_concept(small_concept(word="<new>"), path)
    assert path.read_bytes() == old
    assert [p.name for p in path.parent.iterdir()] == [path.name], "a temporary file was left behind"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, step):
    """Saving over a concept on a full disk does not cost the concept that was there."""
    path = tmp_path / "rex.safetensors"
    save_concept(small_concept(), path)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"os.{step}", full)
    assert_old_file_survives(path)


def test_a_file_cut_off_by_the_system_leaves_the_old_file(tmp_path):
    """A save that stops in the middle does not cost the concept that was there."""
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
    """Who saves to a wrong folder is told which."""
    for folder in (tmp_path / "missing", Path("/proc")):
        with pytest.raises(ConceptFileError, match="could not be saved") as caught:
            save_concept(small_concept(), folder / "rex.safetensors")
        assert str(folder) in str(caught.value)


def test_whatever_cannot_be_saved_says_so_in_a_sentence(tmp_path):
    """Who trains on a full disk reads which file had no room, and not a number of the operating system's."""
    path = tmp_path / "missing" / "cat.checkpoint"
    expected = "'cat.checkpoint' could not be saved (No such file or directory); expected 3 bytes of room in"
    with pytest.raises(OSError, match=re.escape(expected)) as caught:
        write_atomically(path, b"abc")
    assert str(path.parent) in str(caught.value) and caught.value.errno == errno.ENOENT


def test_a_read_only_file_system_is_told_by_a_sentence(tmp_path, monkeypatch):
    """A disk that is mounted read-only also refuses to take the temporary file away: a bare error number was shown."""

    def refuse(*_arguments, **_more):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("os.fsync", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(NotSavedError) as caught:
        write_atomically(tmp_path / "rex.safetensors", b"a concept")
    assert str(caught.value).startswith("'rex.safetensors' could not be saved (Read-only file system); expected 9")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix's")
def test_a_process_that_is_killed_while_it_writes_leaves_the_old_file(tmp_path):
    """A power cut in the middle of a checkpoint does not cost the one before it."""
    path = tmp_path / "run.checkpoint"
    write_atomically(path, b"old")
    child = os.fork()
    if not child:
        try:
            os.fsync = lambda _file: os.kill(os.getpid(), signal.SIGKILL)
            write_atomically(path, b"new")
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert path.read_bytes() == b"old"
