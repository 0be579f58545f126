"""Packs that touch the cross-attention, the sampling or the encodings of SD 1.x and SDXL: what each is asked to do."""

from __future__ import annotations

from collections.abc import Callable

from builders.other_packs.rows import POSITION, Row, Scene, core_draw, core_encode, patched_by
from builders.workflows import Output

PPM, COUPLE, A8R8, EASY = "ComfyUI-ppm", "attention-couple-ComfyUI", "A8R8_ComfyUI_nodes", "ComfyUI-Easy-Use"
FIZZ, ANIMATE, CONTROL = "ComfyUI_FizzNodes", "ComfyUI-AnimateDiff-Evolved", "ComfyUI-Advanced-ControlNet"
TILED, THRESHOLD, TTN = "ComfyUI-TiledDiffusion", "sd-dynamic-thresholding", "ComfyUI_tinyterraNodes"
RES, NOISE = "RES4LYF", "ComfyUI_Noise"
SKIM, PRE, JANK = "Skimmed_CFG", "pre_cfg_comfy_nodes_for_ComfyUI", "comfyui_jankhidiffusion"
PLAIN = "a red boat on a lake"
Draw = Callable[[Scene, Output], Output]


def half(scene: Scene, left: bool) -> Output:
    """A mask that is white on one side of the picture."""
    side = {value: scene.add("SolidMask", width=32, height=64, value=value)[0] for value in (0.0, 1.0)}
    whole = scene.add("SolidMask", width=64, height=64, value=0.0)[0]
    return scene.add("MaskComposite", destination=whole, source=side[1.0], x=0 if left else 32, y=0, operation="add")[0]


def masked(scene: Scene, positive: Output, left: bool) -> Output:
    mask = half(scene, left)
    return scene.add("ConditioningSetMask", conditioning=positive, mask=mask, strength=1.0, set_cond_area="default")[0]


def coupled_by(kind: str, named_first: bool, draw: Draw = core_draw) -> Draw:
    """Two prompts side by side, by a node that has the layers read both."""

    def positive(scene: Scene, named: Output) -> Output:
        prompts = [named, scene.encode(PLAIN)]
        prompts = prompts if named_first else prompts[::-1]
        if kind == "Comfy Couple":
            sizes = {"width": 64, "height": 64, "orientation": "horizontal"}
            sizes |= {"positive_1": prompts[0], "positive_2": prompts[1], "negative": scene.encode("")}
            node = scene.add(kind, model=scene.model, **sizes)
            scene.model = node[0]
            return node[1]
        if kind == "Attention couple":
            both = [masked(scene, prompt, left) for prompt, left in zip(prompts, (True, False), strict=True)]
            both = scene.add("ConditioningCombine", conditioning_1=both[0], conditioning_2=both[1])[0]
            node = scene.add(kind, model=scene.model, positive=both, negative=scene.encode(""), mode="Attention")
            scene.model = node[0]
            return node[1]
        if kind == "AttentionCouple":
            regions = {
                f"region_{number}": scene.add(
                    "AttentionCoupleRegion", cond=prompt, mask=half(scene, number == 1), weight=1.0
                )[0]
                for number, prompt in enumerate(prompts, start=1)
            }
            regions = scene.add("AttentionCoupleRegions", **regions)[0]
            sizes = {"width": 64, "height": 64, "global_prompt_weight": 0.3, "ip_adapter_active": False}
            base = prompts[0]
            scene.model = scene.add(kind, model=scene.model, base_prompt=base, regions=regions, **sizes)[0]
            return base
        node = scene.add(
            kind, model=scene.model, base_cond=prompts[0], base_mask=half(scene, True),
            cond_1=prompts[1], mask_1=half(scene, False),
        )  # fmt: skip
        scene.model = node[0]
        return prompts[0]

    return lambda scene, named: draw(scene, positive(scene, named))


def negpip(scene: Scene) -> Output:
    weigh(scene)
    return core_encode(scene)


def weigh(scene: Scene) -> None:
    """Negative weights, in the text encoder and in the model."""
    node = scene.add("CLIPNegPip", model=scene.model, clip=scene.clip)
    scene.model, scene.clip = node[0], node[1]


def patch(kind: str, **inputs):
    """A node on the model alone."""

    def put_on(scene: Scene) -> None:
        scene.model = scene.add(kind, model=scene.model, **inputs)[0]

    return put_on


def cutoff(scene: Scene) -> Output:
    regions = scene.add("BNK_CutoffBasePrompt", text=scene.text, clip=scene.clip)[0]
    regions = scene.add(
        "BNK_CutoffSetRegions", clip_regions=regions, region_text="beach", target_text="beach", weight=1.0
    )[0]
    return scene.add("BNK_CutoffRegionsToConditioning", clip_regions=regions, strict_mask=0.5, start_from_masked=0.5)[0]


def schedule(kind: str, **inputs):
    """Two prompts by frame, of which the one at hand is a blend."""

    def encode(scene: Scene) -> Output:
        text = f'"0": "{PLAIN}", "4": "{scene.text}"'
        name = "prompts" if kind.startswith("ADE") else "text"
        return scene.add(kind, clip=scene.clip, **{name: text}, **inputs)[0]

    return encode


def in_windows(scene: Scene, positive: Output) -> Output:
    options = scene.add("ADE_StandardStaticContextOptions", context_length=2, context_overlap=1)[0]
    scene.model = scene.add(
        "ADE_UseEvolvedSampling", model=scene.model, context_options=options, beta_schedule="use existing"
    )[0]
    return frames(scene, positive, 3)


def frames(scene: Scene, positive: Output, count: int = 5) -> Output:
    latent = scene.add("EmptyLatentImage", width=64, height=64, batch_size=count)[0]
    wires = {"model": scene.model, "positive": positive, "negative": scene.encode(""), "latent_image": latent}
    node = scene.add("KSampler", **wires, seed=5, steps=1, cfg=4.0, sampler_name="euler", scheduler="normal")
    return scene.add("VAEDecode", samples=node[0], vae=scene.vae)[0]


def reference(scene: Scene, positive: Output) -> Output:
    image = scene.add("EmptyImage", width=64, height=64, color=8421504)[0]
    kind = "reference_attn+adain"
    control = scene.add("ACN_ReferenceControlNet", reference_type=kind, style_fidelity=0.5, ref_weight=1.0)[0]
    image = scene.add("ACN_ReferencePreprocessor", image=image, vae=scene.vae, latent_size=size(scene))[0]
    both = {"positive": positive, "negative": scene.encode("")}
    node = scene.add(
        "ACN_AdvancedControlNetApply", **both, control_net=control, image=image, strength=1.0, start_percent=0.0,
        end_percent=1.0, model_optional=scene.model,
    )  # fmt: skip
    scene.model = node[2]
    return core_draw(scene, node[0])


def size(scene: Scene) -> Output:
    return scene.add("EmptyLatentImage", width=64, height=64)[0]


def unsampled(scene: Scene, positive: Output) -> Output:
    wires = {"model": scene.model, "positive": positive, "negative": scene.encode(""), "latent_image": size(scene)}
    settings = {"steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "normalize": "disable"}
    return scene.add("VAEDecode", samples=scene.add("BNK_Unsampler", **wires, **settings)[0], vae=scene.vae)[0]


def clownshark(scene: Scene, positive: Output) -> Output:
    wires = {"model": scene.model, "positive": positive, "negative": scene.encode(""), "latent_image": size(scene)}
    node = scene.add("ClownsharKSampler_Beta", **wires, steps=2, cfg=4.0, seed=5, sampler_name="res_2m")
    return scene.add("VAEDecode", samples=node[0], vae=scene.vae)[0]


def upscaled(scene: Scene, positive: Output) -> Output:
    image = scene.add("EmptyImage", width=128, height=64, color=8421504)[0]
    wires = {"model": scene.model, "positive": positive, "negative": scene.encode(""), "vae": scene.vae}
    return scene.add(
        "UltimateSDUpscaleNoUpscale", upscaled_image=image, **wires, seed=5, steps=2, denoise=0.8, cfg=4.0,
        tile_width=64, tile_height=64, sampler_name="euler", scheduler="normal",
    )[0]  # fmt: skip


def tinyterra(scene: Scene) -> Output:
    node = scene.add(
        "ttN conditioning", model=scene.model, clip=scene.clip, positive=scene.text, loras="", negative="",
        positive_weight_interpretation="A1111", positive_token_normalization="mean",
    )  # fmt: skip
    scene.model, scene.clip = node[0], node[3]
    return node[1]


def easy(scene: Scene) -> Output:
    node = scene.add(
        "easy fullLoader", ckpt_name=f"{scene.family}.safetensors", model_override=scene.model,
        clip_override=scene.clip, vae_override=scene.vae, positive=scene.text, negative="",
        positive_weight_interpretation="comfy++", empty_latent_width=64, empty_latent_height=64,
    )  # fmt: skip
    scene.model, scene.clip = node[1], node[3]
    return node[4]


COUPLES = ((PPM, "AttentionCouplePPM"), (COUPLE, "Attention couple"), ("ComfyUI-ComfyCouple", "Comfy Couple"),
           (A8R8, "AttentionCouple"))  # fmt: skip
IN_LAYERS = (
    (PRE, "Pre CFG PAG", {}),
    (PRE, "Shape attention", {}),
    (PRE, "Excellent attention", {}),
    (JANK, "ApplyMSWMSAAttentionSimple", {}),
    (TILED, "TiledDiffusion", {"tile_width": 32, "tile_height": 32, "tile_overlap": 8}),
)
PATCHES = (
    *IN_LAYERS,
    (THRESHOLD, "DynamicThresholdingFull", {}),
    (SKIM, "Skimmed CFG", {}),
    (SKIM, "Skimmed CFG - replace", {}),
    (PRE, "Pre CFG automatic scale", {}),
    (PRE, "Pre CFG zero attention", {}),
    (PRE, "Pre CFG sharpening", {}),
    (JANK, "ApplyRAUNetSimple", {}),
    (PPM, "Guidance Limiter", {}),
    (RES, "ReSDPatcher", {}),
)
UNET_ROWS = (
    Row(PPM, "CLIPNegPip", negpip),
    Row(PPM, "CLIPNegPip before Apply", before=weigh),
    Row(PPM, "CLIPNegPip, position gate", negpip, gate=POSITION),
    Row(PPM, "AttentionCouplePPM, position gate", draw=coupled_by("AttentionCouplePPM", True), gate=POSITION),
    Row(A8R8, "AttentionCouple, position gate", draw=coupled_by("AttentionCouple", True), gate=POSITION),
    *(Row(pack, f"{kind}, the concept in the {'first' if first else 'second'} prompt", draw=coupled_by(kind, first))
      for pack, kind in COUPLES for first in (True, False)),
    Row(PPM, "CLIPNegPip and AttentionCouplePPM", negpip, coupled_by("AttentionCouplePPM", True)),
    Row("ComfyUI_Cutoff", "Regions To Conditioning", cutoff),
    Row(FIZZ, "PromptSchedule", schedule("PromptSchedule", current_frame=2, max_frames=5)),
    Row(FIZZ, "BatchPromptSchedule", schedule("BatchPromptSchedule", max_frames=5, start_frame=0, end_frame=5), frames),
    Row(ANIMATE, "ADE_PromptScheduling", schedule("ADE_PromptScheduling"), frames),
    Row(ANIMATE, "ADE_UseEvolvedSampling with context windows", draw=in_windows),
    Row(ANIMATE, "the same with ADE_PromptScheduling", schedule("ADE_PromptScheduling"), in_windows),
    Row(RES, "ClownsharKSampler_Beta", draw=clownshark),
    Row(CONTROL, "ACN_ReferenceControlNet", draw=reference),
    Row("ComfyUI_UltimateSDUpscale", "UltimateSDUpscaleNoUpscale", draw=upscaled),
    Row(NOISE, "BNK_Unsampler", draw=unsampled),
    Row(TTN, "ttN conditioning", tinyterra),
    Row(EASY, "easy fullLoader", easy),
    *(Row(pack, kind, patched_by(kind, **inputs)) for pack, kind, inputs in PATCHES),
    *(Row(pack, f"{kind} before Apply", before=patch(kind, **inputs)) for pack, kind, inputs in IN_LAYERS),
    *(Row(pack, f"{kind}, position gate", patched_by(kind, **inputs), gate=POSITION)
      for pack, kind, inputs in IN_LAYERS),
)  # fmt: skip
