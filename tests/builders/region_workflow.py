"""The example workflow of two concepts in two regions, written by a command from a running server's nodes.

python tests/builders/region_workflow.py ADDRESS
"""

from __future__ import annotations

import sys
from typing import Any

if __package__ in (None, ""):
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from builders.canvas import Canvas, Node, definitions_at, write
from builders.ui_workflows import REGIONS

SIDE = 512
NOTE = (
    "## Two concepts in two regions\n\n"
    "1. Choose a checkpoint, and one of your concepts in each *Load Perfusion Concept*. Write their words in the "
    "prompt.\n"
    "2. Say in the prompt who stands where. A **region** says where a concept's look may be, not where a figure "
    "stands: the first one's look stays in the left half, the second one's in the right half. Outside, the word draws "
    "its superclass.\n"
    "3. Run.\n\n"
    "For other regions, paint your own masks: *Load Image*, right click, *Open in MaskEditor*, then connect its MASK "
    "to **region**. A mask is fitted to the picture; soft edges are allowed.\n\n"
    "With regions, **bias** can be lower, for more of each subject, and its look still stays off the other one. To "
    "compare, disconnect both regions."
)
FILES = ("CheckpointLoaderSimple", "PerfusionLoadConcept")
"""Loaders whose choice is left open, so that the workflow opens on every machine."""


def workflow(definitions: dict[str, Any]) -> dict[str, Any]:
    """The whole workflow, as the browser saves it."""
    canvas = Canvas(definitions)
    loaded = canvas.add("CheckpointLoaderSimple", (-960, 60), (380, 100))
    regions = _halves(canvas)
    model, clip = loaded[0], loaded[1]
    for column, region in zip((-540, -130), regions, strict=True):
        concept = canvas.add("PerfusionLoadConcept", (column, -230), (340, 200))
        links = {"model": model, "clip": clip, "concept": concept[0], "region": region}
        applied = canvas.add("PerfusionApplyKeyLockedAttention", (column, 60), (340, 330), links)
        model, clip = applied[0], applied[1]
    _draw(canvas, model, clip, loaded[2])
    canvas.note(NOTE, (-960, 210))
    canvas.leave_open(*FILES)
    return canvas.saved(REGIONS)


def _halves(canvas: Canvas) -> tuple[tuple[Node, int], tuple[Node, int]]:
    """Masks of the left and of the right half, by the core's nodes."""
    black = canvas.add("SolidMask", (-540, 640), (320, 106), value=0.0, width=SIDE, height=SIDE)
    white = canvas.add("SolidMask", (-540, 800), (320, 106), value=1.0, width=SIDE // 2, height=SIDE)
    links = {"destination": black[0], "source": white[0]}
    left = canvas.add("MaskComposite", (-130, 640), (320, 126), links, x=0, y=0, operation="add")
    right = canvas.add("InvertMask", (-130, 820), (320, 46), {"mask": left[0]})
    for node, title in ((black, "The whole picture, black"), (white, "Half of it, white"), (left, "Left half")):
        node.data["title"] = title
    right.data["title"] = "Right half"
    return left[0], right[0]


def _draw(canvas: Canvas, model, clip, vae) -> None:
    text = "a photo of my_subject on the left and my_other_subject on the right, on a beach"
    positive = canvas.add("CLIPTextEncode", (280, 60), (360, 140), {"clip": clip}, text=text)
    negative = canvas.add("CLIPTextEncode", (280, 250), (360, 120), {"clip": clip}, text="blurry, low quality")
    negative.data["title"] = "CLIP Text Encode (Negative)"
    latent = canvas.add("EmptyLatentImage", (280, 420), (360, 106), width=SIDE, height=SIDE)
    links = {"model": model, "positive": positive[0], "negative": negative[0], "latent_image": latent[0]}
    settings = {"seed": 0, "steps": 25, "cfg": 7.0, "sampler_name": "dpmpp_2m", "scheduler": "karras"}
    sampled = canvas.add("KSampler", (680, 60), (300, 262), links, **settings)
    decoded = canvas.add("VAEDecode", (680, 370), (300, 46), {"samples": sampled[0], "vae": vae})
    canvas.add("SaveImage", (1020, 60), (420, 460), {"images": decoded[0]}, filename_prefix="Perfusion/two regions")


def main() -> None:
    write(REGIONS, workflow(definitions_at(sys.argv[1])))


if __name__ == "__main__":
    main()
