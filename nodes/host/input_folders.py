"""Folders of pictures inside ComfyUI's input folder."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

PICTURE_ENDINGS = frozenset(
    f".{ending}"
    for ending in (
        *"png jpg jpeg jfif webp bmp gif tif tiff avif jxl".split(),
        *"heic heif dng cr2 cr3 nef arw raf orf rw2".split(),
    )
)
"""Of photographs too that ComfyUI may not be able to open: they are named, and not left out in silence."""


def is_picture(name: str) -> bool:
    """By its ending. Hidden files, which some systems put beside pictures, are none."""
    return not name.startswith(".") and Path(name).suffix.lower() in PICTURE_ENDINGS


def picture_folders() -> list[str]:
    """Folders with pictures inside the input folder, at any depth, with ``/`` between their names."""
    root = folder_paths.get_input_directory()
    return [name for name in folder_paths.get_input_subfolders() if _holds_pictures(os.path.join(root, name))]


def picture_folder(name: str | None) -> Path:
    """Raises ValueError for a folder that is not there, or not inside the input folder."""
    root = Path(folder_paths.get_input_directory()).resolve()
    path = (root / (name or "")).resolve()
    if not path.is_dir() or path == root or not path.is_relative_to(root):
        raise ValueError(
            f"There is no folder {name!r} in ComfyUI's input folder. Copy your pictures into a new folder there and "
            "press R."
        )
    return path


def _holds_pictures(path: str) -> bool:
    try:
        with os.scandir(path) as entries:
            return any(is_picture(entry.name) and entry.is_file() for entry in entries)
    except OSError:
        return False
