"""Shared by all tests: import paths, and which tests this machine can run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).resolve().parent.parent

# Last, not first: the pack's own nodes/ must never hide the host's nodes.py (`python -m pytest` puts it first).
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT] + [str(ROOT)]

LARGE = (
    "tests/host/families/test_unet.py",
    "tests/host/test_inspect.py",
    "tests/host/workflows/test_templates.py",
)
"""They load the small SDXL checkpoint, whose networks are narrow: a server then holds 1.9 GB at most, and a worker
2.4 GB (VmHWM). Two at once would fit; one after another, a worker that has grown fits beside them too."""


class OneLargeAtATime(LoadFileScheduling):
    """Files side by side, of which those in LARGE one after another."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return LARGE[0] if file in LARGE else file


def pytest_xdist_make_scheduler(config: pytest.Config, log) -> OneLargeAtATime:
    assert all((ROOT / file).exists() for file in LARGE)
    return OneLargeAtATime(config, log)


@pytest.fixture(scope="session")
def comfyui_path() -> Path:
    """The folder of the ComfyUI to test against; tests that use it are marked ``host``."""
    return Path(os.environ["COMFYUI_PATH"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = {}
    if not os.environ.get("COMFYUI_PATH"):
        missing["host"] = "no ComfyUI: set COMFYUI_PATH"
    if any(item.get_closest_marker("gpu") for item in items) and not _has_gpu():
        missing["gpu"] = "no CUDA device"
    for item in items:
        for marker, reason in missing.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
