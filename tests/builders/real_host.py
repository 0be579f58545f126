"""The real host in this process, and the pack as the host itself loads it."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

import torch

ROOT = Path(__file__).resolve().parents[2]
HOST_DEFAULT = Path.home() / "comfy" / "ComfyUI"
PACK = str(ROOT).replace(".", "_x_")
"""The name the host gives the pack's module."""


def host_path() -> Path:
    """The ComfyUI to measure. Exits with a sentence when there is none."""
    path = Path(os.environ.get("COMFYUI_PATH") or HOST_DEFAULT)
    if not (path / "main.py").is_file():
        sys.exit(f"{path} holds no ComfyUI. Set COMFYUI_PATH to its folder.")
    return path


def load_host() -> None:
    """Import the host, with the GPU if there is one, and load the pack through its own loader."""
    if PACK in sys.modules:
        return
    # First: the pack's own nodes/ must not hide the host's nodes.py.
    sys.path.insert(0, str(host_path()))
    importlib.import_module("comfy.cli_args").args.cpu = not torch.cuda.is_available()
    nodes = importlib.import_module("nodes")
    if not asyncio.run(nodes.load_custom_node(str(ROOT))):
        sys.exit("The host did not load the pack; it says why above.")


def pack(name: str) -> ModuleType:
    """A module of the pack, such as ``perfusion_ops.edit.joint`` or ``nodes.host.model``, as the host knows it."""
    load_host()
    return importlib.import_module(f"{PACK}.{name}")


def comfy(name: str) -> ModuleType:
    """A module of the host, such as ``comfy.sample``."""
    if name not in sys.modules:
        load_host()
    return importlib.import_module(name)


def device() -> torch.device:
    return comfy("comfy.model_management").get_torch_device()


def host_version() -> str:
    return comfy("comfyui_version").__version__
