"""Files of other programs: read without running code, and bounded before they fill the memory."""

from __future__ import annotations

import io
import os
import zipfile

import pytest
import torch

from perfusion_ops.files.strict_json import FormatError
from perfusion_ops.files.strict_pickle import MAX_FILE_BYTES, MAX_PICKLE_BYTES, read_pickled


class Hostile:
    """A pickle that calls a function of the system when it is loaded."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (self.mark,)


def test_a_file_that_names_code_is_refused_and_runs_nothing(tmp_path) -> None:
    """A file from the internet would run its author's program on the user's computer."""
    torch.save({"key_value_params": Hostile(str(tmp_path / "ran"))}, tmp_path / "bad.pt")
    with pytest.raises(FormatError, match="names the Python code '?.*mkdir"):
        read_pickled(tmp_path / "bad.pt")
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "bad.pt", weights_only=False)
    assert (tmp_path / "ran").exists(), "negative control: the file is hostile"


@pytest.mark.parametrize("name, size", [("data/0", MAX_FILE_BYTES + 1), ("x/data.pkl", MAX_PICKLE_BYTES + 1)])
def test_a_file_that_expands_to_more_is_refused(tmp_path, name, size) -> None:
    """A file of kilobytes would fill the memory."""
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, bytes(size))
    assert path.stat().st_size < 200_000
    with pytest.raises(FormatError, match="another kind of file"):
        read_pickled(path)


def test_other_files_are_refused_with_a_sentence(tmp_path) -> None:
    """A damaged, an old or another program's file would end in a traceback."""
    whole = io.BytesIO()
    torch.save({"C_inv": torch.eye(30)}, whole)
    torch.save({"a": torch.zeros(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "cut.pt").write_bytes(whole.getvalue()[:-400])
    (tmp_path / "text.pt").write_text("not a checkpoint")
    for name in ("old", "cut", "text"):
        with pytest.raises(FormatError, match="zip archive"):
            read_pickled(tmp_path / f"{name}.pt")
    with pytest.raises(FormatError, match="is not a file"):
        read_pickled(tmp_path / "missing.pt")
    (tmp_path / "whole.pt").write_bytes(whole.getvalue())
    assert torch.equal(read_pickled(tmp_path / "whole.pt")["C_inv"], torch.eye(30))
