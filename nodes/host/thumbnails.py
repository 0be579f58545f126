"""The small picture beside a concept file, by which a user knows the concept again."""

from __future__ import annotations

import io
import logging
import weakref
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ...perfusion_ops import Concept
from ...perfusion_ops.concept.file import load_concept
from ...perfusion_ops.files.atomic import write_atomically

THUMBNAIL_PIXELS = 384
_files: dict[int, Path] = {}
"""``id`` of a concept in memory -> the file that it came from, as long as it lives."""


def thumbnail_path(concept: Path) -> Path:
    """Where the host looks for the picture of the file ``concept``."""
    return concept.with_suffix(".jpg")


def load_with_thumbnail(file: Path) -> Concept:
    """The concept in ``file``, which takes its thumbnail along when it is saved elsewhere. Raises ConceptFileError."""
    concept = load_concept(file)
    _files[id(concept)] = file
    weakref.finalize(concept, _files.pop, id(concept), None)
    return concept


def copy_thumbnail(concept: Concept, file: Path) -> None:
    """Give ``file`` the thumbnail of the file that ``concept`` came from, if it has one."""
    source = _files.get(id(concept))
    if source is not None and source != file and thumbnail_path(source).is_file():
        _write(thumbnail_path(source).read_bytes(), file)


def save_thumbnail(pixels: Tensor, concept: Path) -> None:
    """``pixels`` (H, W, 3 or more), 0 to 1, as a small JPEG beside the file ``concept``."""
    picture = as_image(pixels.float().cpu())
    picture.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=90)
    _write(data.getvalue(), concept)


def _write(data: bytes, concept: Path) -> None:
    """Whole or not at all. A disk that refuses it costs the picture and not the concept: the log says so."""
    try:
        write_atomically(thumbnail_path(concept), data)
    except OSError as error:
        logging.warning("Perfusion: the thumbnail of %r could not be saved (%s).", concept.name, error.strerror)


def as_image(pixels: Tensor) -> Image.Image:
    """(H, W, 3 or more), 0 to 1, on the CPU, as a picture of three channels."""
    return Image.fromarray((pixels[..., :3].clamp(0, 1) * 255).round().to(torch.uint8).numpy())
