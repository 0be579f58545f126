"""Two concepts with and without a region for each, drawn and read in the pixel world: the help page's picture.

    python dev.py bench regions [--out web/docs/pictures] [--record]

Also writes the picture of the example workflow. Every picture is the first one drawn for its prompt: none is chosen.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

import report
from builders.ui_workflows import FOLDER, REGIONS
from demonstration.scores import leakage, read
from demonstration.studio import PAIRS, STARS, Plan, Studio, Taught
from pictures import HALF, draw_in, drawn, trimmed
from pixelworld.sheets import Row, draw_sheet, enlarged, save_sheet
from proof.specs import weights_fingerprint
from report import ROOT

BIASES, NOISES, SHOWN, TILE = (0.3, 0.6), 6, len(PAIRS), 192
CAPTIONS = [replace(caption, position=None) for caption in PAIRS]
"""They do not say who stands where."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "web" / "docs" / "pictures", help="the folder to write to")
    parser.add_argument("--thumbnails", type=Path, default=FOLDER, help="the folder of the workflow's picture")
    report.add_record_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio(Plan(), ROOT / "bench_out" / "demo", lambda _done: None)
        taught = [studio.teach(star, Path(folder)) for star in STARS]
    rows = pictures(studio, taught)
    save_sheet(sheet(rows), options.out / "regions.png")
    thumbnail(rows).save(options.thumbnails / f"{REGIONS}.jpg", quality=90)
    table = [{"setting": " ".join(name), **found(each)} for name, each in rows.items()]
    tables = {"Two concepts, 24 pictures each": table}
    report.publish("regions", tables, ROOT / "bench_out", options.record, world_weights=weights_fingerprint())


def halves() -> list[Tensor]:
    """The regions (16, 16) of the two: the left half and the right half."""
    left = HALF.float().expand(16, 16)
    return [left, 1 - left]


def pictures(studio: Studio, taught: list[Taught]) -> dict[tuple[str, str], np.ndarray]:
    """(bias, regions) -> pictures (N, 16, 16, 3), of the same prompts and noise."""
    texts, rows = [caption.text(*(star.word for star in STARS)) for caption in CAPTIONS] * NOISES, {}
    for bias in BIASES:
        terms = [studio.term(each.concept, bias) for each in taught]
        rows[f"bias {bias:g}", "without regions"] = drawn(studio, texts, terms)
        rows[f"bias {bias:g}", "with a region for each"] = draw_in(studio, texts, terms, halves())
    return rows


def found(drawn_pictures: np.ndarray) -> dict[str, float]:
    """What the reader sees: how often both stand on their sides, and how much of a look is on the wrong figure."""
    individuals = tuple(star.individual for star in STARS)
    sides = [(individuals[0].class_word, "left"), (individuals[1].class_word, "right")]
    seen = [sorted((f.class_word, f.position) for f in reading.figures) for reading in read(drawn_pictures)]
    return {
        "both subjects, each on its side": float(np.mean([each == sorted(sides) for each in seen])),
        "traits on the wrong figure": leakage(drawn_pictures, individuals),
    }


def sheet(rows: Mapping[tuple[str, str], np.ndarray]) -> Image.Image:
    heads = [caption.text(*(star.word for star in STARS)) for caption in CAPTIONS]
    return trimmed(draw_sheet("", "", heads, [Row("\n".join(name), list(p[:SHOWN])) for name, p in rows.items()], 96))


def thumbnail(rows: Mapping[tuple[str, str], np.ndarray]) -> Image.Image:
    """Above with regions, below without, as the template browser shows a workflow."""
    without, within, *_ = rows.values()
    image = Image.new("RGB", (2 * TILE, 2 * TILE))
    for number, picture in enumerate((*within[:2], *without[:2])):
        image.paste(enlarged(picture, TILE), (number % 2 * TILE, number // 2 * TILE))
    return image


if __name__ == "__main__":
    main()
