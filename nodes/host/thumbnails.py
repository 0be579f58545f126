"""The small picture beside a concept file, by which a user knows the concept again."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ...perfusion_ops.files.atomic import write_atomically

THUMBNAIL_PIXELS = 384


def thumbnail_path(concept: Path) -> Path:
    """Where the host looks for the picture of the file ``concept``."""
    return concept.with_suffix(".jpg")


def save_thumbnail(pixels: Tensor, concept: Path) -> None:
    """``pixels`` (H, W, 3 or more), 0 to 1, as a small JPEG beside ``concept``, whole or not at all.

    A disk that refuses it costs the picture and not the concept: the log says so.
    """
    picture = as_image(pixels.float().cpu())
    picture.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=90)
    try:
        write_atomically(thumbnail_path(concept), data.getvalue())
    except OSError as error:
        logging.warning("Perfusion: the thumbnail of %r could not be saved (%s).", concept.name, error.strerror)


def as_image(pixels: Tensor) -> Image.Image:
    """(H, W, 3 or more), 0 to 1, on the CPU, as a picture of three channels."""
    return Image.fromarray((pixels[..., :3].clamp(0, 1) * 255).round().to(torch.uint8).numpy())
