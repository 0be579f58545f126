"""The example workflow that evaluates a concept, written by a command from a running server's nodes.

python tests/builders/evaluate_workflow.py ADDRESS
"""

from __future__ import annotations

import sys
from typing import Any

if __package__ in (None, ""):
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from builders.canvas import Canvas, definitions_at, write
from builders.ui_workflows import EVALUATE

PICTURES = 3
NOTE = (
    "## Evaluate a Perfusion concept\n\n"
    "1. Choose the checkpoint, the concept, and its training pictures. Fewer than three? Delete a *Load Image*.\n"
    "2. **kind** chooses prompts of the paper's kind. Or write your own in **prompts**, with `{}` for the subject.\n"
    "3. Run. The sheet has a row for the plain model and one for the concept; the table scores both and says whether "
    "a prompt without the concept stays the same.\n\n"
    "To compare a LoRA of the same subject, load it with *Load LoRA* and connect **other_model** and **other_clip**; "
    "write its word in **other_word**. Connect *Load CLIP Vision* to **clip_vision** to score it too."
)
OPEN = ("CheckpointLoaderSimple", "PerfusionLoadConcept", "LoadImage")
"""Loaders whose choice is left open, so that the workflow opens on every machine."""


def workflow(definitions: dict[str, Any]) -> dict[str, Any]:
    """The whole workflow, as the browser saves it."""
    canvas = Canvas(definitions)
    model = canvas.add("CheckpointLoaderSimple", (-460, 60), (320, 100))
    concept = canvas.add("PerfusionLoadConcept", (-460, 230), (320, 180))
    latent = canvas.add("EmptyLatentImage", (-460, 470), (320, 106), width=512, height=512)
    shots = [canvas.add("LoadImage", (-830, 60 + 370 * number), (320, 330)) for number in range(PICTURES)]
    links = {f"inputs.input{number}": shot[0] for number, shot in enumerate(shots)}
    images = canvas.add("CreateList", (-460, 640), (320, 130), links)
    # Its output is of the kind that its inputs are.
    images.data["outputs"][0]["type"] = "IMAGE"
    links = {"model": model[0], "clip": model[1], "vae": model[2], "concept": concept[0], "latent_image": latent[0]}
    evaluated = canvas.add(
        *("PerfusionEvaluate", (-90, 60), (360, 860), {**links, "images": images[0]}),
        **{"steps": 25, "cfg": 7.0, "sampler_name": "dpmpp_2m", "scheduler": "karras"},
    )
    canvas.add("SaveImage", (320, 60), (760, 560), {"images": evaluated[0]}, filename_prefix="Perfusion/evaluation")
    canvas.add("PreviewAny", (320, 680), (760, 300), {"source": evaluated[2]})
    canvas.note(NOTE, (-490, 830))
    canvas.leave_open(*OPEN)
    return canvas.saved(EVALUATE)


def main() -> None:
    write(EVALUATE, workflow(definitions_at(sys.argv[1])))


if __name__ == "__main__":
    main()
