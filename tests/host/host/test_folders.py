"""Names and places of concept files: a name is taken once, given back when saving fails, and stays in its folder."""

from __future__ import annotations

import pytest


@pytest.fixture
def output(pack, monkeypatch, tmp_path):
    """The folder that concepts are saved to."""
    monkeypatch.setattr(pack.folders, "output_folder", lambda: tmp_path)
    return tmp_path


def test_two_that_save_one_name_at_the_same_time_get_two_files(pack, output):
    """Two servers, or two nodes, that save under one name lose neither concept."""
    with pack.folders.path_to_save("pets/rex", False) as first, pack.folders.path_to_save("pets/rex", False) as second:
        assert (first, second) == (output / "pets/rex.safetensors", output / "pets/rex_2.safetensors")
        first.write_text("a concept")
        second.write_text("another")
    assert sorted(path.name for path in (output / "pets").iterdir()) == ["rex.safetensors", "rex_2.safetensors"]


def test_a_name_is_given_back_when_saving_fails(pack, output):
    """A save that failed leaves no empty file in the list of concepts, and the name is free again."""
    with pytest.raises(RuntimeError, match="on purpose"), pack.folders.path_to_save("rex", False) as path:
        assert path.exists(), "the name is taken while the file is written"
        raise RuntimeError("on purpose")
    assert list(output.iterdir()) == []
    with pack.folders.path_to_save("rex", False) as again:
        assert again == path


def test_a_file_that_is_to_be_replaced_stays_until_it_is(pack, output):
    """A save that failed does not cost the concept that it was to replace."""
    (output / "rex.safetensors").write_text("old")
    with pytest.raises(RuntimeError, match="on purpose"), pack.folders.path_to_save("rex", True):
        raise RuntimeError("on purpose")
    assert (output / "rex.safetensors").read_text() == "old"


def test_models_that_nobody_may_write_to_keep_no_pack_from_loading(pack, monkeypatch, tmp_path, caplog):
    """A server with read-only models starts with all nodes: concepts are kept in the output folder."""
    (tmp_path / "models").write_text("no folder")
    monkeypatch.setattr(pack.folders.folder_paths, "models_dir", str(tmp_path / "models"))
    with caplog.at_level("INFO"):
        pack.folders.make_ready()
    assert f"the folder {tmp_path / 'models/perfusion'} could not be made" in caplog.text


@pytest.mark.parametrize("name", ["rex", "rex.safetensors", "  rex "])
def test_a_name_means_one_file(pack, output, name):
    """Who writes the ending, or a space, gets the file that they mean."""
    with pack.folders.path_to_save(name, False) as path:
        assert path == output / "rex.safetensors"


@pytest.mark.parametrize("name", ["pets\\..rex", "pets/../rex", "con:rex", "r\nx", "pets/CON", "nul.safetensors"])
def test_a_name_that_leads_elsewhere_is_refused_and_makes_nothing(pack, output, name):
    """No name of a workflow from the internet leads to a file outside the folder of concepts."""
    with pytest.raises(ValueError, match="The file name is .*; expected a name"):
        with pack.folders.path_to_save(name, False):
            pass
    assert list(output.rglob("*")) == []


def test_a_name_typed_on_macos_is_the_name_typed_elsewhere(pack, output):
    """Overwriting a concept from a Mac would leave the old one beside it, under a name that looks the same."""
    for name in ("Zoe\u0308", "Zo\u00eb"):
        with pack.folders.path_to_save(name, True) as path:
            path.write_text(name)
    assert [path.read_text() for path in output.iterdir()] == ["Zo\u00eb"]


def test_a_name_that_is_too_long_is_refused_by_its_length(pack, output):
    """The disk would refuse it with an error number; and the longest one that is taken can be written and numbered."""
    with pytest.raises(ValueError, match="202 bytes long; expected a name of at most 200 bytes. Shorten it"):
        with pack.folders.path_to_save("pets/" + "\u00e9" * 101, False):
            pass
    for _ in range(12):
        with pack.folders.path_to_save("\u00e9" * 100, False) as path:
            pack.thumbnails.write_atomically(path, b"a concept")
    assert len(list(output.iterdir())) == 12


@pytest.fixture
def models(pack, monkeypatch, output, tmp_path_factory):
    """A second registered folder of concepts, where the host looks first."""
    folder = tmp_path_factory.mktemp("models")
    monkeypatch.setattr(pack.folders.folder_paths, "get_folder_paths", lambda _kind: [str(folder), str(output)])
    return folder


def test_a_name_that_another_folder_has_is_taken(pack, output, models):
    """Who saves and loads one name would get another concept, of that name in models/perfusion."""
    (models / "rex.safetensors").write_text("another dog")
    with pack.folders.path_to_save("rex", False) as path:
        assert path == output / "rex_2.safetensors"
    with pytest.raises(ValueError, match="There is a file 'rex.safetensors' in .* as well, .* Choose another name"):
        with pack.folders.path_to_save("rex", True):
            pass


def test_a_folder_that_links_to_the_other_is_one_folder(pack, output, models):
    """Who keeps the models on another disk, by a link, could replace no concept."""
    models.rmdir()
    models.symlink_to(output, target_is_directory=True)
    (output / "rex.safetensors").write_text("old")
    with pack.folders.path_to_save("rex", True) as path:
        assert path == output / "rex.safetensors"
    with pack.folders.path_to_save("rex", False) as path:
        assert path == output / "rex_2.safetensors"
