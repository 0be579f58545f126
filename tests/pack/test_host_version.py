"""A ComfyUI that is too old is refused in one sentence, before any of its interfaces is asked for."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace

import pytest
import tomllib

from builders.places import ROOT
from host_version import OLDEST, refusal

PACK = "pack_in_an_old_host"
NEEDED = ".".join(map(str, OLDEST))


MAJOR, MINOR, PATCH = OLDEST


@pytest.mark.parametrize(
    "found", ["0.0.9", "0.3.64", f"{MAJOR}.{MINOR - 1}.99", f"v{MAJOR}.{MINOR - 1}.0", "0.12.3-dev"]
)
def test_an_older_host_is_told_what_it_is_and_what_is_needed(found):
    """Who has an old ComfyUI reads what to update, and not an error from inside the pack."""
    sentence = refusal(found)
    assert found in sentence and NEEDED in sentence and "update ComfyUI" in sentence


@pytest.mark.parametrize("found", [NEEDED, f"v{NEEDED}", f"{MAJOR}.{MINOR}.{PATCH + 1}", "0.33.0", "1.0.0", "nightly"])
def test_a_newer_host_and_one_of_unknown_version_are_taken(found):
    """A new ComfyUI, or a nightly one, is not locked out."""
    assert refusal(found) is None


def test_the_pack_refuses_before_it_imports_its_nodes(monkeypatch):
    """An old ComfyUI starts, without the pack's nodes and with one sentence."""
    monkeypatch.setitem(sys.modules, "comfyui_version", SimpleNamespace(__version__="0.3.1"))
    for name in [name for name in sys.modules if name == PACK or name.startswith(f"{PACK}.")]:
        monkeypatch.delitem(sys.modules, name)
    spec = importlib.util.spec_from_file_location(PACK, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, PACK, module)
    spec.loader.exec_module(module)
    with pytest.raises(RuntimeError, match=f"This is ComfyUI 0.3.1, and Perfusion needs {NEEDED} or newer"):
        module.comfy_entrypoint().send(None)
    assert f"{PACK}.nodes" not in sys.modules
    monkeypatch.delitem(sys.modules, f"{PACK}.host_version")


def test_the_registry_is_told_the_same_version():
    """The registry offers the pack to those whose ComfyUI can run it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["comfy"]["requires-comfyui"] == f">={NEEDED}"
