"""The example workflow of each family beside Stable Diffusion, written by a command from a running server's nodes.

python tests/builders/family_workflows.py ADDRESS
"""

from __future__ import annotations

import sys
from typing import Any

from PIL import Image, ImageDraw, ImageFont

if __package__ in (None, ""):
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from builders.canvas import Canvas, Node, definitions_at, write
from builders.family_recipes import RECIPES, Recipe

TITLE = "Train and draw with {}"
PICTURE, INK, PAPER = (640, 360), (235, 235, 240), (32, 34, 40)
ENCODER_LOADERS = {1: "CLIPLoader", 2: "DualCLIPLoader", 4: "QuadrupleCLIPLoader"}
"""How many files -> the host's loader of as many."""


def note_of(title: str, recipe: Recipe) -> str:
    """What the workflow says of itself."""
    files = "files in the three loaders" if recipe.encoder else "checkpoint"
    return (
        f"## {title}: learn a subject, then draw it\n\n"
        f"1. Choose the model's {files}, and about five pictures. Fewer? Delete a *Load Image*. Write the "
        "**superclass** (what the subject is) and a new **word**.\n"
        "2. Run the left side: the concept is saved as `my_subject`. **gate** is `auto`, so "
        f"{recipe.learns}.\n"
        "3. Select the right side and switch it on (Ctrl+M), choose the concept in *Load Perfusion Concept*, write its "
        f"word in the prompt and run again.\n\n{recipe.note}\n\n"
        "Tried with the model's own classes and small random weights, never with the real weights: see docs/models.md."
    ).replace("\n\n\n\n", "\n\n")


def workflow(title: str, recipe: Recipe, definitions: dict[str, Any]) -> dict[str, Any]:
    """The whole workflow: on the left it learns, on the right, muted, it draws."""
    canvas = Canvas(definitions)
    model, clip, vae = _loaded(canvas, recipe)
    trained = canvas.add(
        *("PerfusionTrainConcept", (-520, 60), (400, 820)),
        {"model": model, "clip": clip, "vae": vae, "images": _pictures(canvas, recipe)},
        **{"word": "my_subject", "superclass": "dog", "batch_size": 4, "resolution": recipe.side},
        gradient_checkpointing=True,
    )
    canvas.add("PerfusionSaveConcept", (-60, 60), (320, 180), {"concept": trained[0]}, filename="my_subject")
    canvas.note(note_of(title, recipe), (-60, 290))
    _draw(canvas, recipe, model, clip, vae)
    canvas.leave_open("PerfusionLoadConcept", "LoadImage")
    return canvas.saved(title)


def _loaded(canvas: Canvas, recipe: Recipe) -> tuple[tuple[Node, int], ...]:
    """Where MODEL, CLIP and VAE come from."""
    if not recipe.encoder:
        checkpoint = canvas.add("CheckpointLoaderSimple", (-900, 60), ckpt_name=recipe.model)
        return checkpoint[0], checkpoint[1], checkpoint[2]
    model = canvas.add("UNETLoader", (-900, 60), unet_name=recipe.model)
    *files, kind = recipe.encoder
    names = {"clip_name": files[0]} if len(files) == 1 else {f"clip_name{n}": file for n, file in enumerate(files, 1)}
    type_of = {"type": kind} if kind else {}
    size = (320, 130 if recipe.unpadded else 130 + _more_room(recipe))
    clip = canvas.add(ENCODER_LOADERS[len(files)], (-900, 240), size, **type_of, **names)
    if recipe.unpadded:
        nothing = {"min_padding": 0, "min_length": 0}
        clip = canvas.add("T5TokenizerOptions", (-900, 420), links={"clip": clip[0]}, **nothing)
    vae = canvas.add("VAELoader", (-900, 420 + _more_room(recipe)), vae_name=recipe.vae)
    return model[0], clip[0], vae[0]


def _pictures(canvas: Canvas, recipe: Recipe) -> tuple[Node, int]:
    """The list of about five pictures to learn from."""
    places = [(-1260, 60), (-1260, 430), (-1260, 800), (-1620, 60), (-1620, 430)]
    loaders = [canvas.add("LoadImage", place, (320, 330)) for place in places]
    links = {f"inputs.input{number}": loader[0] for number, loader in enumerate(loaders)}
    pictures = canvas.add("CreateList", (-900, 580 + _more_room(recipe)), (320, 150), links)
    # Its output is of the kind that its inputs are.
    pictures.data["outputs"][0]["type"] = "IMAGE"
    return pictures[0]


def _more_room(recipe: Recipe) -> int:
    """Pixels for a loader of four files, or for a node behind the loader."""
    return 180 if recipe.unpadded else 110 if len(recipe.encoder) > 4 else 0


def _draw(canvas: Canvas, recipe: Recipe, model, clip, vae) -> None:
    concept = canvas.add("PerfusionLoadConcept", (380, 60), (340, 200), muted=True)
    links = {"model": model, "clip": clip, "concept": concept[0]}
    applied = canvas.add("PerfusionApplyKeyLockedAttention", (380, 310), (340, 430), links, muted=True)
    texts = {60: recipe.prompt, 230: recipe.negative}
    named = {"links": {"clip": applied[1]}, "muted": True}
    prompts = [canvas.add("CLIPTextEncode", (760, y), text=text, **named)[0] for y, text in texts.items()]
    shown = _with_settings(canvas, recipe, applied[0])
    positive, negative = _guided(canvas, recipe, prompts)
    size = {"width": recipe.side, "height": recipe.height or recipe.side, "batch_size": 1, **recipe.frames}
    latent = canvas.add(recipe.latent, (760, 580), muted=True, **size)
    links = {"model": shown, "positive": positive, "negative": negative}
    sampled = (_sampled if recipe.beta is None else _sampled_by_parts)(canvas, recipe, links, latent[0])
    decoded = canvas.add("VAEDecode", (1120, 370), (320, 60), links={"samples": sampled, "vae": vae}, muted=True)
    canvas.add("SaveImage", (1120, 470), (320, 340), {"images": decoded[0]}, muted=True, filename_prefix="my_subject")


def _with_settings(canvas: Canvas, recipe: Recipe, shown: tuple[Node, int]) -> tuple[Node, int]:
    """The model with what the template sets of it."""
    if recipe.shift is not None:
        shift = {"links": {"model": shown}, "muted": True, "shift": recipe.shift}
        shown = canvas.add(recipe.shifts, (380, 800), **shift)[0]
    if recipe.norm is not None:
        norm = {"links": {"model": shown}, "muted": True, "strength": recipe.norm}
        shown = canvas.add("CFGNorm", (380, 800), **norm)[0]
    return shown


def _guided(canvas: Canvas, recipe: Recipe, prompts: list[tuple[Node, int]]) -> list[tuple[Node, int]]:
    """The positive and the negative prompt with the template's guidance."""
    if recipe.guidance is None:
        return prompts
    count, size = (2, (320, 60)) if recipe.guides_both else (1, (320, 130))
    given = {"muted": True, "guidance": recipe.guidance, "size": size}
    found = [
        canvas.add("FluxGuidance", (760, 400 + 90 * n), links={"conditioning": prompts[n]}, **given)[0]
        for n in range(count)
    ]
    return [*found, *prompts[count:]]


def _sampled(canvas: Canvas, recipe: Recipe, links: dict, latent: tuple[Node, int]) -> tuple[Node, int]:
    settings = {"steps": recipe.steps, "cfg": recipe.cfg, "sampler_name": recipe.sampler}
    settings |= {"scheduler": recipe.scheduler}
    return canvas.add(
        "KSampler", (1120, 60), (320, 270), {**links, "latent_image": latent}, muted=True, **settings
    )[0]


def _sampled_by_parts(canvas: Canvas, recipe: Recipe, links: dict, latent: tuple[Node, int]) -> tuple[Node, int]:
    guider = canvas.add("CFGGuider", (1120, 60), (320, 100), links, muted=True, cfg=recipe.cfg)
    sampler = canvas.add("KSamplerSelect", (1480, 60), (320, 60), muted=True, sampler_name=recipe.sampler)
    steps = {"steps": recipe.steps, "alpha": recipe.beta, "beta": recipe.beta, "muted": True}
    sigmas = canvas.add("BetaSamplingScheduler", (1480, 180), (320, 110), {"model": links["model"]}, **steps)
    noise = canvas.add("RandomNoise", (1480, 350), (320, 90), muted=True)
    parts = {"noise": noise[0], "guider": guider[0], "sampler": sampler[0], "sigmas": sigmas[0], "latent_image": latent}
    return canvas.add("SamplerCustomAdvanced", (1120, 220), (320, 110), parts, muted=True)[0]


def picture(title: str, saved: dict[str, Any]) -> Image.Image:
    """A card with the workflow's own shape, for nobody has drawn with the model here."""
    image = Image.new("RGB", PICTURE, PAPER)
    pencil = ImageDraw.Draw(image)
    boxes = {n["id"]: (*n["pos"], n["pos"][0] + n["size"][0], n["pos"][1] + n["size"][1]) for n in saved["nodes"]}
    left, top = min(b[0] for b in boxes.values()), min(b[1] for b in boxes.values())
    scale = (PICTURE[0] - 40) / (max(b[2] for b in boxes.values()) - left)

    def at(x: float, y: float) -> tuple[float, float]:
        return 20 + (x - left) * scale, 110 + (y - top) * scale

    for _, origin, _, target, _, _ in saved["links"]:
        a, b = boxes[origin], boxes[target]
        pencil.line([at(a[2], (a[1] + a[3]) / 2), at(b[0], (b[1] + b[3]) / 2)], fill=(110, 120, 140), width=1)
    for node in saved["nodes"]:
        x0, y0, x1, y1 = boxes[node["id"]]
        ours = node["type"].startswith("Perfusion")
        pencil.rounded_rectangle([at(x0, y0), at(x1, y1)], 4, fill=(64, 96, 160) if ours else (62, 66, 76))
    pencil.text((20, 18), title, font=ImageFont.load_default(40), fill=INK)
    pencil.text((20, 72), "learn a subject, then draw it", font=ImageFont.load_default(20), fill=(170, 175, 190))
    return image


def main() -> None:
    definitions = definitions_at(sys.argv[1])
    for title, recipe in RECIPES.items():
        saved = workflow(title, recipe, definitions)
        picture(title, saved).save(write(TITLE.format(title), saved).with_suffix(".jpg"), quality=88)


if __name__ == "__main__":
    main()
