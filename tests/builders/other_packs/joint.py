"""What other people's packs are asked to do with today's models, in workflows that are otherwise core's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from builders.family_workflows import ENCODER_LOADERS, RECIPES, Recipe
from builders.other_packs.rows import Scene, context, core_encode, detailer, encode_by, joined_text, region
from builders.workflows import Output, Workflow

TITLES = {
    "zimage": "Z-Image",
    "flux1": "Flux.1",
    "klein": "Flux.2 Klein",
    "qwen_image": "Qwen-Image",
    "chroma": "Chroma",
    "wan21": "Wan 2.1",
    "anima": "Anima",
    "hidream": "HiDream",
    "sd3": "SD 3.5",
}
"""Kind of small network -> its recipe, and the heading of its column."""
LOADED_ALONE = tuple(name for name, title in TITLES.items() if RECIPES[title].encoder)
"""Those whose network is a file of its own."""
PICTURES = ("zimage", "flux1", "qwen_image", "chroma", "sd3")
"""Those that draw pictures as they draw latents, of four dimensions or more."""
Patch = Callable[[Scene], None]
SIDE, STEPS = 64, 2


def recipe_of(family: str) -> Recipe:
    return RECIPES[TITLES[family]]


def names_of(family: str) -> dict[str, tuple[str, ...]]:
    """Folder below models/ -> the files that its recipe loads."""
    recipe = recipe_of(family)
    if not recipe.encoder:
        return {"checkpoints": (recipe.model,)}
    *encoders, _ = recipe.encoder
    return {"diffusion_models": (recipe.model,), "text_encoders": tuple(encoders), "vae": (recipe.vae,)}


def load_joint(graph: Workflow, family: str) -> tuple[Output, Output, Output]:
    """MODEL, CLIP and VAE by the host's loaders."""
    recipe = recipe_of(family)
    if not recipe.encoder:
        loaded = graph.add("CheckpointLoaderSimple", ckpt_name=recipe.model)
        return loaded[0], loaded[1], loaded[2]
    *files, kind = recipe.encoder
    names = {"clip_name": files[0]} if len(files) == 1 else {f"clip_name{n}": file for n, file in enumerate(files, 1)}
    model = graph.add("UNETLoader", unet_name=recipe.model, weight_dtype="default")
    clip = graph.add(ENCODER_LOADERS[len(files)], **names, **({"type": kind} if kind else {}))
    return model[0], clip[0], graph.add("VAELoader", vae_name=recipe.vae)[0]


def sampled_by(kind: str = "KSampler", frames: int | None = None, **inputs: Any):
    """Draw by a sampler that takes what core's KSampler takes; ``nag_negative`` and its like get a prompt too.

    Films have as many ``frames`` as given, else one.
    """

    def draw(scene: Scene, positive: Output) -> Output:
        asked = {**scene.info[kind]["input"].get("required", {}), **scene.info[kind]["input"].get("optional", {})}
        prompts = {name: scene.encode("blurred") for name in asked if name.endswith("negative")}
        settings = {"seed": 5, "steps": STEPS, "sampler_name": "euler", "scheduler": "simple", **inputs}
        settings.setdefault("cfg", recipe_of(scene.family).cfg)
        wires = {"model": scene.model, "positive": positive, "latent_image": empty_latent(scene, frames)}
        node = scene.add(kind, **wires, **prompts, **{name: settings[name] for name in settings if name in asked})
        return decoded(scene, node[scene.info[kind]["output"].index("LATENT")])

    return draw


def detail_daemon(scene: Scene, positive: Output) -> Output:
    sampler = scene.add("KSamplerSelect", sampler_name="euler")[0]
    sampler = scene.add("DetailDaemonSamplerNode", sampler=sampler, start=0.0, end=1.0)[0]
    sigmas = scene.add("BasicScheduler", model=scene.model, scheduler="simple", steps=STEPS, denoise=1.0)[0]
    wires = {"model": scene.model, "positive": positive, "negative": scene.encode("blurred"), "sampler": sampler}
    wires |= {"sigmas": sigmas, "latent_image": empty_latent(scene)}
    drawn = scene.add("SamplerCustom", add_noise=True, noise_seed=5, cfg=recipe_of(scene.family).cfg, **wires)
    return decoded(scene, drawn[0])


def upscaled(scene: Scene, positive: Output) -> Output:
    image = scene.add("EmptyImage", width=SIDE, height=SIDE, color=8421504)[0]
    wires = {"image": image, "model": scene.model, "positive": positive, "negative": scene.encode("blurred")}
    settings = {"upscale_by": 2.0, "steps": STEPS, "cfg": recipe_of(scene.family).cfg, "denoise": 0.9, "seed": 5}
    settings |= {"tile_width": SIDE, "tile_height": SIDE, "sampler_name": "euler", "scheduler": "simple"}
    return scene.add("UltimateSDUpscaleNoUpscale", upscaled_image=image, vae=scene.vae, **{
        name: value for name, value in (wires | settings).items() if name not in ("image", "upscale_by")
    })[0]  # fmt: skip


def empty_latent(scene: Scene, frames: int | None = None) -> Output:
    recipe = recipe_of(scene.family)
    length = {"length": frames} if frames else recipe.frames
    return scene.add(recipe.latent, width=SIDE, height=SIDE, batch_size=1, **length)[0]


def decoded(scene: Scene, latent: Output) -> Output:
    return scene.add("VAEDecode", samples=latent, vae=scene.vae)[0]


@dataclass(frozen=True)
class JointRow:
    pack: str
    """The folder of the pack that is tried."""
    name: str
    families: tuple[str, ...] = tuple(TITLES)
    patch: Patch | None = None
    """What it does to the model. It is tried before Apply and after it."""
    encode: Callable[[Scene], Output] = core_encode
    draw: Callable[[Scene, Output], Output] = sampled_by()
    loads: bool = False
    """Whether its patch is a loader, which can only stand before Apply."""


def by(kind: str, frames: int | None = None, **inputs: Any) -> Patch:
    """One node on the model."""

    def patch(scene: Scene) -> None:
        asked = scene.info[kind]["input"].get("required", {})
        latent = {"latent": empty_latent(scene, frames)} if "latent" in asked else {}
        scene.model = scene.add(kind, model=scene.model, **latent, **inputs)[0]

    return patch


def loaded_by(kind: str, name: str = "unet_name", **inputs: Any) -> Patch:
    def patch(scene: Scene) -> None:
        scene.model = scene.add(kind, **{name: recipe_of(scene.family).model}, **inputs)[0]

    return patch


def tea_cache(scene: Scene) -> None:
    kinds = {"flux1": "flux", "wan21": "wan2.1_t2v_1.3B", "hidream": "hidream_i1_full"}
    by("TeaCache", model_type=kinds[scene.family], rel_l1_thresh=1e-9, cache_device="cpu")(scene)


def wan_guidance(scene: Scene) -> None:
    by("WanVideoNAG", conditioning=scene.encode("blurred"))(scene)


def modified_flux(kind: str) -> Patch:
    """A node that needs another one before it."""

    def patch(scene: Scene) -> None:
        by("ConfigureModifiedFlux")(scene)
        by(kind)(scene)

    return patch


def regional_flux(scene: Scene) -> None:
    by("ConfigureModifiedFlux")(scene)
    mask = scene.add("SolidMask", width=SIDE, height=SIDE, value=1.0)[0]
    regions = scene.add("CreateRegionalCond", cond=scene.encode("a cat"), mask=mask)[0]
    by("ApplyRegionalConds", region_conds=regions, end_percent=1.0)(scene)


def coupled(scene: Scene) -> Output:
    """A prompt of two halves of the picture."""
    text = f"a beach COUPLE(0 0.5) {scene.text} COUPLE(0.5 1) a red sky"
    return scene.add("PCTextEncode", clip=scene.clip, text=text)[0]


KJ, TEA, WAVE, NAG, RES = "ComfyUI-KJNodes", "ComfyUI-TeaCache", "Comfy-WaveSpeed", "ComfyUI-NAG", "RES4LYF"
PC, ADV, SMZ, RG = "comfyui-prompt-control", "ComfyUI_ADV_CLIP_emb", "ComfyUI_smZNodes", "rgthree-comfy"
MULTI, TAPOZ, TILED = "ComfyUI-MultiGPU", "ComfyUI-Fluxtapoz", "ComfyUI-TiledDiffusion"
ESSENTIALS, INSPIRE, SCRIPTS = "ComfyUI_essentials", "ComfyUI-Inspire-Pack", "ComfyUI-Custom-Scripts"
NO_GUIDANCE = sampled_by(cfg=1.0)
"""As distilled models draw: the prompt alone is in a model call."""
ROWS = (
    JointRow("ComfyUI", "KSampler"),
    JointRow("ComfyUI", "KSampler, cfg 1", draw=NO_GUIDANCE),
    JointRow(TEA, "TeaCache", ("flux1", "wan21", "hidream"), tea_cache),
    JointRow(WAVE, "ApplyFBCacheOnModel", patch=by("ApplyFBCacheOnModel", residual_diff_threshold=1e-9)),
    JointRow(NAG, "KSamplerWithNAG", ("flux1", "chroma", "wan21", "hidream", "sd3"),
             draw=sampled_by("KSamplerWithNAG", cfg=1.0)),
    JointRow(RES, "ReFluxPatcher", ("flux1",), by("ReFluxPatcher", style_dtype="float32")),
    JointRow(RES, "ReWanPatcher", ("wan21",), by("ReWanPatcher")),
    JointRow(RES, "ReWanPatcher, cfg 1", ("wan21",), by("ReWanPatcher"), draw=NO_GUIDANCE),
    JointRow(RES, "ReChromaPatcher", ("chroma",), by("ReChromaPatcher", style_dtype="float32")),
    JointRow(RES, "ReSD35Patcher", ("sd3",), by("ReSD35Patcher", style_dtype="float32")),
    JointRow(RES, "ReHiDreamPatcher", ("hidream",), by("ReHiDreamPatcher", style_dtype="float32")),
    JointRow(RES, "ClownsharKSampler_Beta",
             draw=sampled_by("ClownsharKSampler_Beta", sampler_name="multistep/res_2m")),
    JointRow(KJ, "ModelPatchTorchSettings", patch=by("ModelPatchTorchSettings")),
    JointRow(KJ, "CFGZeroStarAndInit", patch=by("CFGZeroStarAndInit", use_zero_init=False)),
    JointRow(KJ, "DiffusionModelLoaderKJ", LOADED_ALONE,
             loaded_by("DiffusionModelLoaderKJ", "model_name", sage_attention="disabled"), loads=True),
    JointRow(KJ, "PathchSageAttentionKJ", patch=by("PathchSageAttentionKJ", sage_attention="auto")),
    JointRow(KJ, "TorchCompileModelAdvanced", ("flux1",), by("TorchCompileModelAdvanced", backend="inductor")),
    JointRow("ComfyUI-Impact-Pack", "detailer", PICTURES, draw=detailer(False)),
    JointRow(KJ, "WanVideoTeaCacheKJ", ("wan21",), by("WanVideoTeaCacheKJ")),
    JointRow(KJ, "WanVideoEnhanceAVideoKJ", ("wan21",), by("WanVideoEnhanceAVideoKJ", frames=5),
             draw=sampled_by(frames=5)),
    JointRow(KJ, "ApplyRifleXRoPE_WanVideo", ("wan21",), by("ApplyRifleXRoPE_WanVideo", k=2)),
    JointRow(KJ, "WanVideoNAG", ("wan21",), wan_guidance),
    JointRow(KJ, "WanVideoNAG, cfg 1", ("wan21",), wan_guidance, draw=NO_GUIDANCE),
    JointRow(KJ, "WanChunkFeedForward", ("wan21",), by("WanChunkFeedForward")),
    JointRow(KJ, "ConditioningMultiCombine", encode=lambda scene: scene.add(
        "ConditioningMultiCombine", operation="concat", conditioning_1=scene.encode("a cat"),
        conditioning_2=core_encode(scene))[0]),
    JointRow(PC, "PCTextEncode, STYLE(A1111, mean)", encode=encode_by("PCTextEncode", before="STYLE(A1111, mean) ")),
    JointRow(PC, "PCTextEncode, BREAK", encode=encode_by("PCTextEncode", before="a sunny day BREAK ")),
    JointRow(PC, "PCTextEncode, CAT", encode=encode_by("PCTextEncode", before="a sunny day CAT ")),
    JointRow(PC, "PCTextEncode, COUPLE", encode=coupled),
    JointRow(PC, "PCAnimaAttnCouplePatch, COUPLE", ("anima",), by("PCAnimaAttnCouplePatch"), coupled),
    JointRow(PC, "PCLazyTextEncode", encode=encode_by("PCLazyTextEncode")),
    JointRow(ADV, "A1111, mean", encode=encode_by("BNK_CLIPTextEncodeAdvanced", weight_interpretation="A1111",
             token_normalization="mean")),
    JointRow(SMZ, "A1111", encode=encode_by("smZ CLIPTextEncode", parser="A1111")),
    JointRow("ComfyUI-Detail-Daemon", "DetailDaemonSamplerNode", draw=detail_daemon),
    JointRow("sd-dynamic-thresholding", "DynamicThresholdingFull", patch=by("DynamicThresholdingFull")),
    JointRow(MULTI, "UNETLoaderMultiGPU", LOADED_ALONE, loaded_by("UNETLoaderMultiGPU"), loads=True),
    JointRow(MULTI, "UNETLoaderDisTorch2MultiGPU", LOADED_ALONE, loaded_by("UNETLoaderDisTorch2MultiGPU"), loads=True),
    JointRow(TAPOZ, "ConfigureModifiedFlux", ("flux1",), by("ConfigureModifiedFlux")),
    JointRow(TAPOZ, "PAGAttention", ("flux1",), modified_flux("PAGAttention")),
    JointRow(TAPOZ, "SEGAttention", ("flux1",), modified_flux("SEGAttention")),
    JointRow(TAPOZ, "ApplyRegionalConds", ("flux1",), regional_flux),
    JointRow(TILED, "TiledDiffusion", patch=by("TiledDiffusion", tile_width=32, tile_height=32, tile_overlap=8)),
    JointRow(ESSENTIALS, "FluxBlocksBuster+", ("flux1",), by("FluxBlocksBuster+", blocks="0 = 1.1\n1 = 0.9")),
    JointRow(ESSENTIALS, "GuidanceTimestepping+", patch=by("GuidanceTimestepping+")),
    JointRow("ComfyUI_UltimateSDUpscale", "UltimateSDUpscaleNoUpscale", draw=upscaled),
    JointRow(INSPIRE, "KSampler", draw=sampled_by("KSampler //Inspire", noise_mode="CPU")),
    JointRow(INSPIRE, "RegionalConditioningSimple", encode=region),
    JointRow(RG, "Context", encode=context),
    JointRow(RG, "Power Prompt", encode=encode_by("Power Prompt (rgthree)", text="prompt")),
    JointRow(SCRIPTS, "StringFunction", encode=joined_text),
)  # fmt: skip
