"""PyTorch's own files (.pt, .ckpt, .bin) from strangers: bounded before they are read; reading runs no code."""

from __future__ import annotations

import io
import os
import pickle
import re
import zipfile
from typing import Any

import torch

from .strict_json import FormatError, shown
from .strict_safetensors import read_bounded

MAX_FILE_BYTES = 64 * 1024 * 1024
"""Of a file, and of what it expands to. The largest known peer's file holds a covariance of 17 MB."""
MAX_ENTRIES = 4096
MAX_PICKLE_BYTES = 1024 * 1024
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


class Inert:
    """Stands for a class of another program: takes its state as data and does nothing."""

    def __init__(self, *_args: Any) -> None:
        pass


INERT = (
    "torch.nn.modules.container.ParameterDict",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.nodes.AnyNode",
    "omegaconf.nodes.StringNode",
    "typing.Any",
    "typing.List",
    "collections.defaultdict",
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("list", "dict", "str", "int")),
)
"""What the peers' files hold beside tensors and plain Python. Nothing of it is ever called."""


def read_pickled(path: str | os.PathLike[str]) -> Any:
    """What ``torch.save`` wrote to ``path``, on the CPU, by ``torch.load(weights_only=True)``.

    Raises:
        FormatError: the file is missing, damaged, larger than 64 MiB as it is or expanded, older than PyTorch 1.6, or
            names Python code.
    """
    data = read_bounded(path, MAX_FILE_BYTES)
    _check_archive(data)
    if not hasattr(torch.serialization, "safe_globals"):
        raise FormatError(f"needs PyTorch 2.6 or newer to be read safely; this is {torch.__version__}. Update ComfyUI.")
    try:
        with torch.serialization.safe_globals([(Inert, name) for name in INERT]):
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = _GLOBAL.search(str(error))
        raise FormatError(
            f"names the Python code {shown(named[1])}; expected tensors and plain values alone, so it was not loaded."
            if named
            else "is damaged, or holds more than tensors and plain values. Get the file from its author again."
        ) from error
    except (RuntimeError, ValueError, TypeError, LookupError, EOFError, AttributeError, AssertionError) as error:
        raise FormatError("is damaged: its tensors cannot be read. Get the file from its author again.") from error


def _check_archive(data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise FormatError(
            "is no file of PyTorch 1.6 or newer (a zip archive). If it is older, load and save it once with a newer "
            "PyTorch; if it is something else, load it with its own loader."
        ) from error
    expanded = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_ENTRIES or expanded > MAX_FILE_BYTES:
        raise FormatError(
            f"expands to {expanded:,} bytes in {len(entries):,} parts; expected at most {MAX_FILE_BYTES:,} in "
            f"{MAX_ENTRIES:,}. A concept is smaller: this is another kind of file."
        )
    if any(entry.filename.endswith(".pkl") and entry.file_size > MAX_PICKLE_BYTES for entry in entries):
        raise FormatError(f"has a list of contents above {MAX_PICKLE_BYTES:,} bytes; this is another kind of file.")
