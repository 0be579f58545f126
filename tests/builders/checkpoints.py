"""Small random checkpoints on disk, made once per version of their maker."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from builders.places import ROOT

MAKER = ROOT / "tests/builders/make_checkpoints.py"


def checkpoint(name: str, comfyui: Path) -> Path:
    """The file of ``sd1``, ``sd1_quick`` with a text encoder of few layers, ``sd1_full`` with all blocks, ``sd2``,
    ``sdxl``, or the ControlNet ``controlnet``.
    """
    key = hashlib.sha256(MAKER.read_bytes()).hexdigest()[:12]
    path = ROOT / "build" / "checkpoints" / f"{name}-{key}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Several processes may find it missing at once.
        partial = path.with_suffix(f".{os.getpid()}.partial")
        subprocess.run([sys.executable, "-P", MAKER, comfyui, name, partial], check=True, timeout=900)
        partial.rename(path)
    return path
