"""What the registry and ComfyUI Manager ask of the pack, as far as it can be held without them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
import tomllib

from builders.places import ROOT
from host_version import OLDEST

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, COMFY = PYPROJECT["project"], PYPROJECT["tool"]["comfy"]
PAGE = (ROOT / "docs/publishing.md").read_text(encoding="utf-8")
PLATFORMS = re.compile(r"Operating System :: (OS Independent|Microsoft|POSIX|MacOS)|Environment :: (GPU|NPU) :: ")
"""One classifier of another kind makes ComfyUI forget all of them."""


def test_the_name_and_the_version_are_of_the_registrys_form():
    """The registry refuses another form, and a name can never be changed."""
    assert re.fullmatch(r"[a-z][a-z0-9]*([._-][a-z0-9]+)*", PROJECT["name"]) and len(PROJECT["name"]) < 100
    assert "comfyui" not in PROJECT["name"].lower()
    assert re.fullmatch(r"\d+\.\d+\.\d+", PROJECT["version"])
    assert f"## {PROJECT['version']} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert all(PLATFORMS.match(classifier) for classifier in PROJECT["classifiers"])


def test_the_registry_and_the_pack_ask_for_the_same_comfyui():
    """Manager would install the pack on a ComfyUI where it then refuses to load. Two-part versions are not read."""
    assert COMFY["requires-comfyui"] == f">={'.'.join(map(str, OLDEST))}"
    assert re.fullmatch(r">=\d+\.\d+\.\d+", COMFY["requires-comfyui"])


def test_nothing_is_installed_beside_the_pack():
    """A requirement could replace packages of a user's ComfyUI."""
    assert PROJECT["dependencies"] == []
    assert [name for name in ("requirements.txt", "install.py", "prestartup_script.py") if (ROOT / name).exists()] == []


@pytest.mark.parametrize(("name", "shape"), [("icon", 1), ("banner", 21 / 9)])
def test_icon_and_banner_have_the_registrys_shapes(name, shape):
    """The registry would cut them, or show none."""
    drawing = ElementTree.parse(ROOT / f"docs/figures/{name}.svg").getroot()
    width, height = float(drawing.get("width")), float(drawing.get("height"))
    assert width / height == pytest.approx(shape)
    assert name != "icon" or width <= 400


def test_every_field_that_waits_for_an_address_is_on_the_page_until_it_is_filled_in():
    """Whoever publishes would forget one, and users would find no page to report to."""
    urls = PROJECT.get("urls", {})
    waiting = [key for key in ("Homepage", "Documentation", "Repository", "Issues") if key not in urls]
    waiting += [key for key in ("Icon", "Banner") if key not in COMFY]
    assert [key for key in waiting if f"`{key}`" not in PAGE] == []
    assert COMFY["PublisherId"] and COMFY["DisplayName"]
    for address in (*urls.values(), *(COMFY[key] for key in ("Icon", "Banner") if key in COMFY)):
        assert address.startswith("https://"), address


def test_the_archive_leaves_out_what_only_developers_need():
    """Every user would download the tests and their pictures."""
    ignored = (ROOT / ".comfyignore").read_text(encoding="utf-8").split()
    assert {"/tests/", "/benchmarks/", "/.ci/", "/dev.py"} <= set(ignored)
    needed = ("nodes", "perfusion_ops", "web", "locales", "example_workflows", "subgraphs", "__init__.py", "LICENSE")
    assert not any(entry.strip("/") in needed for entry in ignored)
