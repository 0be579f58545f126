"""The concepts that a training keeps on its way, listed under its run: ``teddy_0123456789ab/step 0200.safetensors``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...perfusion_ops import Concept
from ...perfusion_ops.concept.file import save_concept
from ..host import folders
from ..host.thumbnails import load_with_thumbnail

LISTED = re.compile(rf"(?P<run>.+)[/\\]step (?P<step>\d+){re.escape(folders.EXTENSION)}")
"""A snapshot as Load Perfusion Concept lists it, with the separators of any system."""


@dataclass(frozen=True)
class Snapshots:
    """Those that a training is asked for."""

    folder: Path
    steps: tuple[int, ...]

    @classmethod
    def of(cls, folder: Path, every: int, steps: int) -> Snapshots:
        """One every so many steps, 0 for none. The last step has none: it is the finished concept."""
        return cls(folder, tuple(range(every, steps, every)) if every else ())

    def path(self, step: int) -> Path:
        return self.folder / f"step {step:04}{folders.EXTENSION}"

    def keep(self, concept: Concept, step: int) -> Path:
        """Its file. Raises ValueError when the folder or the disk refuses it."""
        folders.made(self.folder)
        save_concept(concept, self.path(step), "fp32")
        return self.path(step)

    def missing(self, before: float = float("inf")) -> list[int]:
        """Steps ``before`` one whose snapshot is wanted and not there."""
        return [step for step in self.steps if step < before and not self.path(step).exists()]

    def load(self) -> tuple[Concept, ...]:
        """In the order of their steps. Raises ConceptFileError when one cannot be read."""
        return tuple(load_with_thumbnail(self.path(step)) for step in self.steps)


def listed_runs(names: Iterable[str]) -> dict[str, list[str]]:
    """Runs among listed concepts -> their snapshots in the order of their steps, and the finished concept last."""
    names = set(names)
    runs: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        if found := LISTED.fullmatch(name):
            runs.setdefault(found["run"], []).append((int(found["step"]), name))
    return {
        run: [name for _step, name in sorted(snapshots)] + sorted(names & {f"{run}{folders.EXTENSION}"})
        for run, snapshots in sorted(runs.items())
    }
