"""Imports point down: perfusion_ops knows no host, is quick to import and touches no accelerator."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from builders.places import ROOT

HOST_MODULES = ("comfy", "comfy_api", "comfy_extras", "comfy_execution", "folder_paths", "nodes", "server", "execution")
ALLOWED = {"torch", "safetensors", "numpy", "__future__"} | sys.stdlib_module_names


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


def import_check(statement: str) -> str:
    return (
        f"import sys\n{statement}\n"
        f"found = sorted(m for m in sys.modules if m.split('.')[0] in {HOST_MODULES!r})\n"
        "sys.exit(f'host modules imported: {found}' if found else 0)"
    )


def test_importing_the_library_imports_no_host_module() -> None:
    """The method can be used and tested without ComfyUI."""
    result = run(import_check("import perfusion_ops"))
    assert result.returncode == 0, result.stderr


def test_the_check_above_can_fail() -> None:
    """Negative control: a module of the host would be noticed."""
    fake = "import types\nsys.modules['comfy.utils'] = types.ModuleType('comfy.utils')"
    assert "host modules imported: ['comfy.utils']" in run(import_check(fake)).stderr


def test_importing_the_library_touches_no_accelerator() -> None:
    """Starting ComfyUI with the pack takes no memory of the card."""
    code = "import perfusion_ops, torch\nassert not torch.cuda.is_initialized()"
    assert run(code).returncode == 0


def test_importing_the_library_takes_under_half_a_second_beyond_torch() -> None:
    """The smallest of three runs: a bound on work done at import, not a measurement of this machine."""
    code = (
        "import time, torch, numpy, safetensors.torch\nstart = time.process_time()\n"
        "import perfusion_ops\nprint(time.process_time() - start)"
    )
    assert min(float(run(code).stdout) for _ in range(3)) < 0.5


@pytest.mark.parametrize("path", sorted((ROOT / "perfusion_ops").rglob("*.py")), ids=lambda path: path.name)
def test_every_module_imports_only_what_a_host_has_or_its_own_neighbours(path: Path) -> None:
    """The pack needs nothing installed that ComfyUI does not bring."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert all(alias.name.split(".")[0] in ALLOWED for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level in (1, 2) or node.module.split(".")[0] in ALLOWED


ROOMS = (
    *(f"perfusion_ops{room}" for room in ("/files", "/text", "/concept", "/edit", "/training", "/judging", "")),
    *(f"nodes{room}" for room in ("/drawing", "/families", "/host", "/training", "/judging", "")),
)
"""From the ground up: a file may import from its own room and from those before it."""


def room_of(path: Path) -> str:
    return path.parent.relative_to(ROOT).as_posix()


def imported_rooms(path: Path, code: str) -> set[str]:
    """The rooms that a file's relative imports lead to."""
    rooms = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.level:
            target = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for place in (target, *(target / alias.name for alias in node.names)):
                rooms |= {room_of(file) for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists()}
    return rooms


def upward(path: Path, code: str) -> set[str]:
    return {room for room in imported_rooms(path, code) if ROOMS.index(room) > ROOMS.index(room_of(path))}


FILES = sorted([*(ROOT / "perfusion_ops").rglob("*.py"), *(ROOT / "nodes").rglob("*.py")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_down_from_room_to_room(path: Path) -> None:
    """Who follows a parameter from its node goes down, room by room, and never in a circle."""
    assert upward(path, path.read_text(encoding="utf-8")) == set()


def test_an_import_that_points_up_would_be_found() -> None:
    """Negative control: an import that points up would be found."""
    path = ROOT / "nodes" / "host" / "clip.py"
    assert upward(path, "from ..training.files import RunFiles") == {"nodes/training"}
    assert upward(path, "from .. import train") == {"nodes"}
    assert upward(ROOT / "perfusion_ops" / "edit" / "joint.py", "from .. import Concept") == {"perfusion_ops"}
    assert upward(path, "from . import folders") == set()


def ids_in_sentences(code: str) -> list[str]:
    """What f-strings show of a family's name inside files, ``base_family`` of a concept or ``name`` of a family."""
    shown = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FormattedValue)]
    return [text for text in map(ast.unparse, shown) if re.fullmatch(r"(.*\.)?(base_family|family\.name)", text)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_sentence_shows_a_familys_id(path: Path) -> None:
    """A user reads SD 1.x and Z-Image everywhere, by ``title_of``, and never the sd1 or zimage of a file."""
    assert ids_in_sentences(path.read_text(encoding="utf-8")) == []


def test_an_id_in_a_sentence_would_be_found() -> None:
    """Negative control: a family's id in a sentence would be found."""
    code = 'f"{concept.base_family} {self.family.name} {family.title} {title_of(concept.base_family)} {file.name}"'
    assert ids_in_sentences(code) == ["concept.base_family", "self.family.name"]
