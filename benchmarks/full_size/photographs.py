"""Host memory of thirty photographs: decoded as Load Image does it, then brought to training size by the pack."""

from __future__ import annotations

import io
import resource
import sys
from typing import Any

import numpy as np
import torch
from PIL import Image

from . import host
from .memory import LiveBytes
from .scale import Scale

RESOLUTION = 512


def run(scale: Scale) -> dict[str, list[dict[str, Any]]]:
    count, width, height = numbers(scale)
    file = jpeg(width, height)
    pictures = [decoded(file) for _ in range(count)]
    before = peak_of_the_process()
    live = LiveBytes(pictures)
    with live:
        shots = host.pack("nodes.training.pictures").shots(pictures, [], RESOLUTION)
    row = {"photographs": count, "pixels": f"{width} x {height}"}
    row["held by the host, MiB"] = mebibytes(sum(picture.nbytes for picture in pictures))
    row["kept by training, MiB"] = mebibytes(sum(shot.pixels.nbytes for shot in shots))
    row["tensors beside the host's, at most, MiB"] = mebibytes(live.peak)
    row["process, at most, before, MiB"], row["after, MiB"] = map(mebibytes, (before, peak_of_the_process()))
    return {"Host memory of photographs": [row]}


def numbers(scale: Scale) -> tuple[int, int, int]:
    """How many photographs, and their width and height."""
    return (3, 900, 600) if scale.name == "tiny" else (30, 6000, 4000)


def jpeg(width: int, height: int) -> bytes:
    """A photograph's worth of detail, drawn."""
    numbers = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(numbers).resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def decoded(file: bytes) -> torch.Tensor:
    """(1, H, W, 3), 0 to 1, float32."""
    pixels = np.array(Image.open(io.BytesIO(file)).convert("RGB")).astype(np.float32)
    pixels /= 255
    return torch.from_numpy(pixels)[None]


def peak_of_the_process() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def mebibytes(size: int) -> float:
    return round(size / 2**20, 1)
