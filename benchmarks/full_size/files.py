"""Concept files on disk, and how many concepts of SD 1.5 a 1.44 MB floppy holds."""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import host, models
from .scale import Scale

FLOPPY_BYTES = 1_474_560
CLUSTER_BYTES = 512
FLOPPY_CLUSTERS = 2_847
"""Of its 2,880 sectors FAT12 takes one to start, two copies of a table of nine, and fourteen for the directory."""
PRECISIONS = ("fp32", "fp16", "int8")
SIZE_GOALS = {("sd1", "fp16"): 32 * 1024, ("sd2", "fp16"): 34 * 1024, ("sdxl", "int8"): 100 * 1000}


def run(scale: Scale) -> dict[str, list[dict[str, Any]]]:
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for family in ("sd1", "sd2", "sdxl") for row in size_rows(family, Path(folder))]
        tables = {"Concept files": rows}
        if scale.floppy:
            tables["A 1.44 MB floppy"] = [floppy_row(precision, Path(folder)) for precision in PRECISIONS]
    return tables


def trained_like(family: str, count: int) -> list:
    """Concepts of the true shapes, with the metadata that Train Perfusion Concept writes."""
    widths = models.layer_widths(models.random_model(family, device="meta"))
    fingerprints = dict.fromkeys(("encoder", "base_model", "statistics"), "0123456789abcdef")
    metadata = fingerprints | {"training": host.pack("perfusion_ops").TrainingSettings().as_text(400)}
    return [replace(concept, metadata=metadata) for concept in models.random_concepts(family, widths, count)]


def size_rows(family: str, folder: Path) -> list[dict[str, Any]]:
    concept = trained_like(family, 1)[0]
    save_concept = host.pack("perfusion_ops.concept.file").save_concept
    rows = []
    for precision in PRECISIONS:
        path = folder / f"{family}-{precision}.safetensors"
        save_concept(concept, path, precision)
        rows.append(
            {
                "model": models.FAMILIES[family].title,
                "layers": len(concept.value_residuals),
                "value outputs": sum(len(residual) for residual in concept.value_residuals.values()),
                "precision": precision,
                "bytes": path.stat().st_size,
                "goal, at most": SIZE_GOALS.get((family, precision), "none"),
            }
        )
    return rows


def floppy_row(precision: str, folder: Path) -> dict[str, Any]:
    """Write SD 1.5 concepts until a FAT12 floppy of 512-byte clusters is full."""
    save_concept = host.pack("perfusion_ops.concept.file").save_concept
    sizes: list[int] = []
    used = 0
    for index, concept in enumerate(trained_like("sd1", 120)):
        path = folder / f"{precision}{index:03}.safetensors"
        save_concept(concept, path, precision)
        clusters = -(-path.stat().st_size // CLUSTER_BYTES)
        if used + clusters > FLOPPY_CLUSTERS:
            break
        used += clusters
        sizes.append(path.stat().st_size)
    return {
        "precision": precision,
        "SD 1.5 concepts that fit": len(sizes),
        "bytes of one, median": int(statistics.median(sizes)),
        "bytes of all": sum(sizes),
        "clusters used": f"{used} of {FLOPPY_CLUSTERS}",
        "bytes of a floppy": FLOPPY_BYTES,
    }
