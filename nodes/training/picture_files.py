"""A folder of training pictures: which files belong together, and their pixels, upright and brought to size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ..host.input_folders import is_picture

MASK, CAPTION = "_mask", ".txt"
SHAPE_TOLERANCE = 0.01
"""Relative difference of the sides' ratios of a mask and its picture: that of a rounded side."""
GREYS_16_BIT = 65_535 / 255


@dataclass(frozen=True)
class PictureFile:
    """A picture, and the files of its name beside it."""

    path: Path
    mask: Path | None
    caption: Path | None


@dataclass(frozen=True)
class LoadedPicture:
    pixels: Tensor
    """(1, H, W, 3), 0 to 1."""
    mask: Tensor | None
    """(1, H, W), 0 to 1, from the mask's file or the picture's alpha."""
    caption: str
    """Empty without one."""


def picture_files(folder: Path) -> tuple[list[PictureFile], list[str]]:
    """The folder's pictures in natural order (2 before 10), and the names of captions that belong to none.

    Raises ValueError for a folder without pictures, and for a mask without its picture.
    """
    names = {path.name: path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")}
    found = sorted(filter(is_picture, names), key=natural_key)
    masks = {Path(name).stem.removesuffix(MASK): names[name] for name in found if Path(name).stem.endswith(MASK)}
    pictures = [names[name] for name in found if not Path(name).stem.endswith(MASK)]
    captions = {path.stem: path for path in names.values() if path.suffix.lower() == CAPTION}
    stems = {path.stem for path in pictures}
    stray = [path.name for stem, path in masks.items() if stem not in stems]
    if stray:
        raise ValueError(
            f"In {folder.name!r}, {_listed(stray)} has no picture of the same name without {MASK!r}; add it, or give "
            "the file another name."
        )
    if not pictures:
        raise ValueError(f"There are no pictures in {folder.name!r}; copy about five of the subject there.")
    files = [PictureFile(path, masks.get(path.stem), captions.get(path.stem)) for path in pictures]
    return files, [path.name for stem, path in sorted(captions.items()) if stem not in stems]


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key by which ``IMG_2`` comes before ``IMG_10``, whatever the case."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part] + [(1, 0, name)]


def load_pictures(files: Sequence[PictureFile], longest_side: int) -> list[LoadedPicture]:
    """All pictures, one after the other: only one at a time is in memory at its full size.

    Raises ValueError, which names every file that cannot be used and why.
    """
    loaded, wrong = [], []
    for file in files:
        try:
            loaded.append(_loaded(file, longest_side))
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError(
            f"In {files[0].path.parent.name!r}, {len(wrong)} of {len(files)} pictures cannot be used: "
            f"{_listed(wrong, '; ')}. Save them anew as JPEG or PNG, or take them out of the folder."
        )
    return loaded


def _listed(names: Sequence[str], separator: str = ", ") -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return separator.join(names[:5]) + more


def _loaded(file: PictureFile, longest_side: int) -> LoadedPicture:
    picture = _opened(file.path, longest_side)
    size = _scaled_size(picture.size, longest_side)
    mask = _alpha(picture)
    if file.mask is not None:
        mask = _opened(file.mask, longest_side).convert("L")
        (width, height), (mask_width, mask_height) = picture.size, mask.size
        if abs(mask_width * height / (mask_height * width) - 1) > SHAPE_TOLERANCE:
            raise ValueError(f"{file.mask.name} (it has another shape than its picture)")
    pixels = _resized(_rgb(picture), size)
    if mask is not None:
        mask = _resized(mask, size)
        if not mask.any():
            name = (file.mask or file.path).name
            raise ValueError(f"{name} (its mask is all black; paint the subject white)")
    return LoadedPicture(
        torch.from_numpy(pixels.astype(np.float32) / 255)[None],
        None if mask is None else torch.from_numpy(mask.astype(np.float32) / 255)[None],
        _caption(file.caption),
    )


def _opened(path: Path, longest_side: int) -> Image.Image:
    """The file's first picture, as its camera's orientation says. Raises ValueError with the file's name."""
    try:
        with Image.open(path) as opened:
            # A JPEG is decoded at half, a quarter or an eighth of its size, but never below twice what is wanted.
            opened.draft("RGB", (2 * longest_side, 2 * longest_side))
            opened.load()
            return ImageOps.exif_transpose(opened)
    except UnidentifiedImageError:
        kind = path.suffix.removeprefix(".").upper()
        raise ValueError(f"{path.name} (ComfyUI cannot open this {kind} file)") from None
    except Exception as error:  # decoders raise errors of every kind
        raise ValueError(f"{path.name} ({error})") from error


def _scaled_size(size: tuple[int, int], longest_side: int) -> tuple[int, int]:
    scale = min(1.0, longest_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _rgb(picture: Image.Image) -> Image.Image:
    """In 8 bits; greys of 16 bits are scaled and not cut."""
    if picture.mode.startswith("I"):
        return _grey(np.asarray(picture, np.float32) / GREYS_16_BIT)
    if picture.mode == "F":
        return _grey(np.asarray(picture) * 255)
    return picture.convert("RGB")


def _grey(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8)).convert("RGB")


def _alpha(picture: Image.Image) -> Image.Image | None:
    """None where the whole picture is opaque."""
    if "transparency" not in picture.info and picture.mode not in ("RGBA", "RGBa", "LA", "La", "PA"):
        return None
    alpha = picture.convert("RGBA").getchannel("A")
    return None if alpha.getextrema()[0] == 255 else alpha


def _resized(picture: Image.Image, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS))


def _caption(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return " ".join(path.read_text(encoding="utf-8-sig").split())
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} (its text cannot be read as UTF-8: {error})") from error
