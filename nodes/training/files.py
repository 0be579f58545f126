"""What a training keeps on disk. The name is made of everything that decides the result."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...perfusion_ops import Concept
from ...perfusion_ops.concept.file import save_concept
from ...perfusion_ops.files.atomic import write_atomically
from ...perfusion_ops.training.state import saved_step
from ..host import folders
from ..host.file_names import readable
from ..host.thumbnails import as_image, load_with_thumbnail, save_thumbnail
from .snapshots import Snapshots

ALGORITHM_VERSION = "1"
CHECKPOINT = ".checkpoint"
ROOM = 2**20
"""Bytes that a training asks for when it begins: three checkpoints of SD 1.x."""


def run_key(*parts: object) -> str:
    """12 hex digits of everything that decides a training's result: texts, numbers, tensors."""
    digest = hashlib.sha256(ALGORITHM_VERSION.encode())
    for part in parts:
        if isinstance(part, Tensor):
            digest.update(repr(tuple(part.shape)).encode())
            digest.update(part.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()[:12]


@dataclass(frozen=True)
class RunFiles:
    """Where a training keeps what it made: listed by Load Perfusion Concept under ``trained``."""

    folder: Path
    name: str

    @classmethod
    def of(cls, word: str, key: str) -> RunFiles:
        """Known by ``key`` alone: versions before this one spelled some words otherwise."""
        folder = folders.made(folders.output_folder() / "trained")
        endings = (folders.EXTENSION, CHECKPOINT)
        older = [path.name for ending in endings for path in folder.glob(f"*_{key}{ending}")]
        name = next(iter(older), "").removesuffix(folders.EXTENSION).removesuffix(CHECKPOINT)
        return cls(folder, name or f"{readable(word)}_{key}")

    @property
    def concept(self) -> Path:
        return self.folder / f"{self.name}{folders.EXTENSION}"

    @property
    def checkpoint(self) -> Path:
        return self.folder / f"{self.name}{CHECKPOINT}"

    @property
    def losses(self) -> Path:
        return self.folder / f"{self.name}.losses.json"

    @property
    def sheet(self) -> Path:
        """Named apart from the concept, whose thumbnail has its name."""
        return self.folder / f"{self.name}.previews.png"

    def snapshots(self, every: int, steps: int) -> Snapshots:
        """Those of a training of so many steps, one every so many."""
        return Snapshots.of(self.folder / self.name, every, steps)

    def is_finished(self) -> bool:
        """Whether an earlier run of the same training is there to the end."""
        return self.concept.exists() and self.losses.exists()

    def finished(self, snapshots: Snapshots | None = None) -> Finished | None:
        """What an earlier run of the same training left; none when it did not finish, or lacks a snapshot."""
        if not self.is_finished() or (snapshots is not None and snapshots.missing()):
            return None
        losses = json.loads(self.losses.read_text())
        sheet = None
        if self.sheet.exists():
            sheet = torch.from_numpy(np.asarray(Image.open(self.sheet).convert("RGB")).astype(np.float32) / 255)
        concept = load_with_thumbnail(self.concept)
        return Finished(concept, losses, sheet, () if snapshots is None else snapshots.load())

    def save(
        self,
        concept: Concept,
        losses: list[float],
        sheet: Tensor | None,
        snapshots: Snapshots | None = None,
        *,
        picture: Tensor,
    ) -> Finished:
        """Keep a finished training, with ``picture`` (H, W, 3) as its thumbnail.

        The concept comes last: its file says that the rest is there.
        """
        write_atomically(self.losses, json.dumps(losses).encode())
        if sheet is not None:
            png = io.BytesIO()
            as_image(sheet).save(png, "PNG")
            write_atomically(self.sheet, png.getvalue())
        save_thumbnail(picture, self.concept)
        save_concept(concept, self.concept, "fp32")
        self.checkpoint.unlink(missing_ok=True)
        # The last are what a crash left of files that it interrupted.
        for pattern in (f"{self.name}_step*", f".{self.name}.*.part"):
            for left in self.folder.glob(pattern):
                left.unlink(missing_ok=True)
        return self.finished(snapshots)

    def make_ready(self, snapshots: Snapshots) -> str:
        """Forget a stopped training that passed a wanted snapshot without keeping it. What there is to say of it.

        Raises NotSavedError where there is no room for what a training keeps, before the time is spent.
        """
        probe = self.folder / f"{self.name}.room"
        write_atomically(probe, bytes(ROOM))
        probe.unlink()
        missing: list[int] = []
        if snapshots.steps and self.checkpoint.exists():
            missing = snapshots.missing(before=saved_step(self.checkpoint))
            if missing:
                self.checkpoint.unlink()
        elif self.is_finished():
            missing = snapshots.missing()
        if not missing:
            return ""
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        return f"Trains from the start: an earlier run did not keep the snapshot of step {missing[0]}{more}."

    def save_partial(self, concept: Concept, step: int, picture: Tensor) -> Path:
        """Keep what was learned before a training was stopped, with a thumbnail."""
        path = self.folder / f"{self.name}_step{step}{folders.EXTENSION}"
        save_thumbnail(picture, path)
        save_concept(concept, path, "fp32")
        return path


@dataclass(frozen=True)
class Finished:
    concept: Concept
    losses: list[float]
    sheet: Tensor | None
    """All previews side by side (H, W, 3), 0 to 1."""
    snapshots: tuple[Concept, ...] = ()
