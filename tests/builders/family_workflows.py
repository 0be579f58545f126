"""The example workflow of each family beside Stable Diffusion, written by a command from a running server's nodes.

python tests/builders/family_workflows.py ADDRESS
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, ImageDraw, ImageFont

if __package__ in (None, ""):
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from builders.canvas import Canvas, Node, definitions_at, write

TITLE = "Train and draw with {}"
PICTURE, INK, PAPER = (640, 360), (235, 235, 240), (32, 34, 40)


@dataclass(frozen=True)
class Recipe:
    """What a family's official template loads and sets."""

    model: str
    encoder: tuple[str, ...] = ()
    """Files of the text encoders, and the loader's type, if it asks; none: all is in the model's checkpoint."""
    vae: str = ""
    latent: str = "EmptySD3LatentImage"
    frames: dict[str, int] = field(default_factory=dict)
    """How many, where the latent's node asks."""
    side: int = 1024
    """Of pictures, in pixels."""
    shifts: str = "ModelSamplingAuraFlow"
    """The node that sets ``shift``."""
    shift: float | None = None
    guidance: float | None = None
    steps: int = 25
    cfg: float = 4.0
    sampler: str = "euler"
    note: str = ""
    learns: str = "the values are learned alone, at the superclass's own words"


ENCODER_LOADERS = {1: "CLIPLoader", 2: "DualCLIPLoader", 4: "QuadrupleCLIPLoader"}
"""How many files -> the host's loader of as many."""
_T5 = "t5xxl_fp16.safetensors"
RECIPES = {
    "SD 3.5": Recipe(
        "sd3.5_large_fp8_scaled.safetensors",
        note="3.5 medium takes the same nodes; a concept of large does not fit it, as it has other layers. The text "
        "encoders may also come from *Load CLIP (Triple)*.",
    ),
    "Anima": Recipe(
        "anima-base-v1.0.safetensors",
        ("qwen_3_06b_base.safetensors", "stable_diffusion"),
        "qwen_image_vae.safetensors",
        latent="EmptyLatentImage",
        steps=30,
        note="Train on the base model. The turbo LoRA may be on the model when you draw. How well that works is not "
        "measured. Key locking can stay `local`: at any bias, the concept's own key is the superclass's.",
        learns="a word and its values are learned, as in the paper. The text is measured first, which takes minutes",
    ),
    "Z-Image": Recipe(
        *("z_image_bf16.safetensors", ("qwen_3_4b.safetensors", "lumina2"), "ae.safetensors"),
        shift=3.0,
        note="Train on Z-Image itself. Z-Image Turbo has the same layers, so the concept loads there too: use 8 steps "
        "and cfg 1. How well that works is not measured.",
    ),
    "Lumina 2": Recipe(
        *("lumina_2_model_bf16.safetensors", ("gemma_2_2b_fp16.safetensors", "lumina2"), "ae.safetensors"), shift=6.0
    ),
    "Flux.1": Recipe(
        *("flux1-dev.safetensors", ("clip_l.safetensors", _T5, "flux"), "ae.safetensors"),
        guidance=3.5,
        cfg=1.0,
        note="Flux.1 dev is distilled for guidance; training uses the guidance of the drawing, 3.5. schnell has the "
        "same layers, so the concept loads there too. How well that works is not measured.",
    ),
    "Chroma": Recipe(
        *("Chroma1-HD-fp8mixed.safetensors", ("t5xxl_fp8_e4m3fn_scaled.safetensors", "chroma"), "ae.safetensors"),
        shift=1.0,
        cfg=3.5,
    ),
    "Flux.2 Klein": Recipe(
        *("flux-2-klein-base-4b.safetensors", ("qwen_3_4b.safetensors", "flux2"), "flux2-vae.safetensors"),
        latent="EmptyFlux2LatentImage",
        cfg=5.0,
        note="Train on Klein base. The distilled Klein has the same layers, so the concept loads there too: use 4 "
        "steps and cfg 1. How well that works is not measured. Flux.2 dev takes the same nodes, with its own files.",
    ),
    "Qwen-Image": Recipe(
        "qwen_image_fp8_e4m3fn.safetensors",
        ("qwen_2.5_vl_7b_fp8_scaled.safetensors", "qwen_image"),
        "qwen_image_vae.safetensors",
        shift=3.1,
    ),
    "HiDream": Recipe(
        "hidream_i1_full_fp8.safetensors",
        (
            *("clip_l_hidream.safetensors", "clip_g_hidream.safetensors", "t5xxl_fp8_e4m3fn_scaled.safetensors"),
            *("llama_3.1_8b_instruct_fp8_scaled.safetensors", ""),
        ),
        "ae.safetensors",
        shifts="ModelSamplingSD3",
        shift=3.0,
        steps=50,
        cfg=5.0,
        sampler="uni_pc",
        note="Train on HiDream-I1 Full. Dev and Fast have the same layers, so the concept loads there too: use cfg 1, "
        "and the steps and the shift of their templates. How well that works is not measured.",
    ),
    "Wan 2.1": Recipe(
        "wan2.1_t2v_1.3B_fp16.safetensors",
        ("umt5_xxl_fp8_e4m3fn_scaled.safetensors", "wan"),
        "wan_2.1_vae.safetensors",
        latent="EmptyHunyuanLatentVideo",
        frames={"length": 1},
        side=640,
        shifts="ModelSamplingSD3",
        shift=8.0,
        steps=30,
        cfg=6.0,
        sampler="uni_pc",
        note="A picture is a film of one frame, so `length` is 1. This model was made for about 640 by 640 pixels. The "
        "14B model takes the same nodes. Wan 2.2 14B has two models: train on one, and put one *Apply Key-Locked "
        "Attention* before each. How well that works is not measured.",
    ),
    "PixArt Sigma": Recipe(
        *("PixArt-Sigma-XL-2-1024-MS.pth", (_T5, "pixart"), "sdxl_vae.safetensors"),
        latent="EmptyLatentImage",
        cfg=4.5,
        note="PixArt Alpha takes the same nodes, with the VAE of Stable Diffusion 1.5. A concept of one does not fit "
        "the other.",
    ),
    "HunyuanDiT": Recipe(
        "hunyuan_dit_1.2.safetensors",
        latent="EmptyLatentImage",
        steps=30,
        cfg=6.0,
        note="HunyuanDiT 1.0 and 1.1 take the same nodes; a concept of 1.2 does not fit them. The word may stand in "
        "either box of *CLIP Text Encode (Hunyuan Image)*, or in both.",
    ),
}


def note_of(title: str, recipe: Recipe) -> str:
    """What the workflow says of itself."""
    files = "files in the three loaders" if recipe.encoder else "checkpoint"
    return (
        f"## {title}: learn a subject, then draw it\n\n"
        f"1. Choose the model's {files}, and about five pictures. Write the **superclass** (what the "
        "subject is) and a new **word**.\n"
        "2. Run the left side: the concept is saved as `my_subject`. **gate** is `auto`, so "
        f"{recipe.learns}.\n"
        "3. Press R, choose the concept in *Load Perfusion Concept*, write the word in the prompt, switch the right "
        f"side on (Ctrl+M) and run again.\n\n{recipe.note}\n\n"
        "Tried with the model's own classes and small random weights, never with the real weights: see docs/models.md."
    ).replace("\n\n\n\n", "\n\n")


def workflow(title: str, recipe: Recipe, definitions: dict[str, Any]) -> dict[str, Any]:
    """The whole workflow: on the left it learns, on the right, muted, it draws."""
    canvas = Canvas(definitions)
    model, clip, vae = _loaded(canvas, recipe)
    folder = canvas.add("LoadImage", (-900, 580 + _more_room(recipe)), (320, 330))
    trained = canvas.add(
        *("PerfusionTrainConcept", (-520, 60), (400, 820)),
        {"model": model, "clip": clip, "vae": vae, "images": folder[0]},
        **{"word": "my_subject", "superclass": "dog", "batch_size": 4, "resolution": recipe.side},
        gradient_checkpointing=True,
    )
    canvas.add("PerfusionSaveConcept", (-60, 60), (320, 180), {"concept": trained[0]}, filename="my_subject")
    canvas.note(note_of(title, recipe), (-60, 290))
    _draw(canvas, recipe, model, clip, vae)
    canvas.leave_open("PerfusionLoadConcept")
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
    size = (320, 130 + _more_room(recipe))
    clip = canvas.add(ENCODER_LOADERS[len(files)], (-900, 240), size, **type_of, **names)
    vae = canvas.add("VAELoader", (-900, 420 + _more_room(recipe)), vae_name=recipe.vae)
    return model[0], clip[0], vae[0]


def _more_room(recipe: Recipe) -> int:
    """Pixels for a loader of four files."""
    return 110 if len(recipe.encoder) > 4 else 0


def _draw(canvas: Canvas, recipe: Recipe, model, clip, vae) -> None:
    concept = canvas.add("PerfusionLoadConcept", (380, 60), (340, 200), muted=True)
    links = {"model": model, "clip": clip, "concept": concept[0]}
    applied = canvas.add("PerfusionApplyKeyLockedAttention", (380, 310), (340, 430), links, muted=True)
    named = applied[1]
    positive = canvas.add("CLIPTextEncode", (760, 60), links={"clip": named}, muted=True, text="a photo of my_subject")
    negative = canvas.add("CLIPTextEncode", (760, 230), links={"clip": named}, muted=True, text="")
    shown, guided = applied[0], positive[0]
    if recipe.shift is not None:
        shift = {"links": {"model": shown}, "muted": True, "shift": recipe.shift}
        shown = canvas.add(recipe.shifts, (380, 800), **shift)[0]
    if recipe.guidance is not None:
        guidance = {"links": {"conditioning": guided}, "muted": True, "guidance": recipe.guidance}
        guided = canvas.add("FluxGuidance", (760, 400), **guidance)[0]
    size = {"width": recipe.side, "height": recipe.side, "batch_size": 1, **recipe.frames}
    latent = canvas.add(recipe.latent, (760, 580), muted=True, **size)
    links = {"model": shown, "positive": guided, "negative": negative[0], "latent_image": latent[0]}
    settings = {"steps": recipe.steps, "cfg": recipe.cfg, "sampler_name": recipe.sampler, "scheduler": "simple"}
    sampled = canvas.add("KSampler", (1120, 60), (320, 270), links, muted=True, **settings)
    links = {"samples": sampled[0], "vae": vae}
    decoded = canvas.add("VAEDecode", (1120, 370), (320, 60), links=links, muted=True)
    canvas.add("SaveImage", (1120, 470), (320, 340), {"images": decoded[0]}, muted=True, filename_prefix="my_subject")


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
