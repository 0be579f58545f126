"""What the official templates of the families beside Stable Diffusion load and set, for their example workflows."""

from __future__ import annotations

from dataclasses import dataclass, field


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
    height: int | None = None
    """Of what is drawn, if it is not square."""
    unpadded: bool = False
    """Whether T5's prompts are padded with nothing."""
    shifts: str = "ModelSamplingAuraFlow"
    """The node that sets ``shift``."""
    shift: float | None = None
    norm: float | None = None
    """Strength of CFGNorm."""
    guidance: float | None = None
    guides_both: bool = False
    """Whether the negative prompt has the guidance too."""
    steps: int = 25
    cfg: float = 4.0
    sampler: str = "euler"
    scheduler: str = "simple"
    beta: float | None = None
    """Both numbers of BetaSamplingScheduler, which then draws in the place of ``scheduler``."""
    prompt: str = "a photo of my_subject"
    negative: str = ""
    note: str = ""
    learns: str = "the values are learned alone, at the superclass's own words"


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
    "Chroma Radiance": Recipe(
        "chroma-radiance-x0.safetensors",
        ("t5xxl_fp8_e4m3fn_scaled.safetensors", "chroma"),
        "pixel_space",
        latent="EmptyChromaRadianceLatentImage",
        unpadded=True,
        shift=1.0,
        steps=30,
        cfg=3.5,
        beta=0.4,
        negative="This low quality greyscale unfinished sketch is inaccurate and flawed. The image is very blurred and "
        "lacks detail with excessive chromatic aberrations and artifacts. The image is overly saturated with excessive "
        "bloom.",
        note="This model draws pixels: `pixel_space` in *Load VAE* is a choice of ComfyUI's and no file. A concept of "
        "Chroma does not fit it, as it is another family.",
    ),
    "Ovis-Image": Recipe(
        *("ovis_image_bf16.safetensors", ("ovis_2.5.safetensors", "ovis"), "ae.safetensors"),
        shift=3.0,
        steps=20,
        cfg=5.0,
    ),
    "LongCat-Image": Recipe(
        "longcat_image_bf16.safetensors",
        ("qwen_2.5_vl_7b_fp8_scaled.safetensors", "longcat_image"),
        "ae.safetensors",
        norm=1.0,
        guidance=4.0,
        guides_both=True,
        steps=20,
        negative="blurry, low resolution, oversaturated, harsh lighting, messy composition, distorted face, extra "
        "fingers, bad anatomy, cheap jewelry, plastic texture, cartoon, illustration, anime, watermark, text, logo",
        note="LongCat-Image-Edit has the same layers, so the concept loads there too. How well that works is not "
        "measured.",
    ),
    "NewBie": Recipe(
        "NewBie-Image-Exp0.1-bf16.safetensors",
        ("gemma_3_4b_it_bf16.safetensors", "jina_clip_v2_bf16.safetensors", "newbie"),
        "ae.safetensors",
        height=1536,
        shift=6.0,
        steps=20,
        cfg=5.5,
        sampler="res_multistep",
        prompt="You are an assistant designed to generate high-quality anime images with the highest degree of "
        "image-text alignment based on xml format textual prompts. <Prompt Start>\nan illustration of my_subject",
        negative="You are an assistant designed to generate low-quality images based on textual prompts. "
        "<Prompt Start>",
        note="The prompt begins as that of the official template, and may go on as XML as there: write the word where "
        "the subject is named.",
    ),
    "Cosmos-Predict2": Recipe(
        "cosmos_predict2_2B_t2i.safetensors",
        ("oldt5_xxl_fp8_e4m3fn_scaled.safetensors", "cosmos"),
        "wan_2.1_vae.safetensors",
        steps=35,
        scheduler="karras",
        note="Gradients go through the text encoder, which takes most of the memory: choose `position` as the **gate** "
        "where it does not fit. The 14B model takes the same nodes; a concept of one does not fit the other. The "
        "settings are those of an earlier official template.",
        learns="a word and its values are learned, as in the paper. The text is measured first, which takes minutes",
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
