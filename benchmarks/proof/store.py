"""Results on disk under a name made of everything that decides them: a run that was killed goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from torch import Tensor

from perfusion_ops.files.atomic import write_atomically


def key_of(description: Any) -> str:
    """16 hex digits of a description made of plain values."""
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:16]


class Store:
    """A folder of tensors and records."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def _path(self, kind: str, key: str, ending: str) -> Path:
        return self.folder / f"{kind}-{key}.{ending}"

    def tensors(self, kind: str, key: str) -> dict[str, Tensor] | None:
        path = self._path(kind, key, "safetensors")
        return load_file(path) if path.exists() else None

    def keep_tensors(self, kind: str, key: str, tensors: Mapping[str, Tensor]) -> None:
        write_atomically(self._path(kind, key, "safetensors"), save({n: t.contiguous() for n, t in tensors.items()}))

    def record(self, kind: str, key: str) -> Any | None:
        path = self._path(kind, key, "json")
        return json.loads(path.read_text()) if path.exists() else None

    def keep_record(self, kind: str, key: str, record: Any) -> None:
        write_atomically(self._path(kind, key, "json"), (json.dumps(record) + "\n").encode())
