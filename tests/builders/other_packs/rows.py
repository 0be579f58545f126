"""What each pack is asked to do: encode a prompt, patch the model, or draw, in a workflow that is otherwise core's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from builders.workflows import Output, Workflow

BOTH = ("sd1", "sdxl")
LEARNED_WORD, POSITION = "learned word", "position"
"""The concept's gate."""


@dataclass
class Scene:
    """A workflow under construction. ``info`` is what the server tells of its nodes."""

    graph: Workflow
    family: str
    info: dict[str, dict]
    model: Output
    clip: Output
    vae: Output
    text: str

    def add(self, kind: str, **inputs: Any):
        """A node, with the defaults of what is not given. Raises KeyError where the pack has no such node."""
        for name, (type_, *options) in self.info[kind]["input"].get("required", {}).items():
            choices = type_ if isinstance(type_, list) else options[0].get("options") if type_ == "COMBO" else None
            if name not in inputs and (choices or type_ in ("STRING", "INT", "FLOAT", "BOOLEAN")):
                default = (options[0] if options else {}).get("default", "" if type_ == "STRING" else 0)
                inputs[name] = default if not choices or default in choices else choices[0]
        return self.graph.add(kind, **inputs)

    def encode(self, text: str) -> Output:
        return self.add("CLIPTextEncode", clip=self.clip, text=text)[0]


def core_encode(scene: Scene) -> Output:
    return scene.encode(scene.text)


def core_draw(scene: Scene, positive: Output) -> Output:
    return draw_by("KSampler")(scene, positive)


@dataclass(frozen=True)
class Row:
    pack: str
    """The folder of the pack that is tried."""
    name: str
    encode: Callable[[Scene], Output] = core_encode
    draw: Callable[[Scene, Output], Output] = core_draw
    families: tuple[str, ...] = BOTH
    applied_late: bool = False
    """Whether the pack encodes before Apply can be wired."""
    before: Callable[[Scene], None] | None = None
    """What stands before Apply."""
    gate: str = LEARNED_WORD


def encode_by(kind: str, output: int = 0, text: str = "text", before: str = "", **inputs: Any):
    """Encode by one node; ``before`` stands before the prompt, and what the node makes of model and CLIP is used."""

    def encode(scene: Scene) -> Output:
        required = scene.info[kind]["input"].get("required", {}) | scene.info[kind]["input"].get("optional", {})
        wires = {name: getattr(scene, name.removeprefix("opt_")) for name in required
                 if name in ("model", "clip", "opt_model", "opt_clip")}  # fmt: skip
        texts = {name: before + scene.text for name in text.split()}
        node = scene.add(kind, **wires, **texts, **inputs)
        outputs = scene.info[kind]["output"]
        scene.model = node[outputs.index("MODEL")] if "MODEL" in outputs else scene.model
        scene.clip = node[outputs.index("CLIP")] if "CLIP" in outputs else scene.clip
        return node[output]

    return encode


def after(kind: str, wire: str, **inputs: Any):
    """A node on the encodings."""
    return lambda scene: scene.add(kind, **{wire: core_encode(scene)}, **inputs)[0]


def patched_by(kind: str, **inputs: Any):
    """A node on the model, then core's encode node."""

    def encode(scene: Scene) -> Output:
        if "negative" in scene.info[kind]["input"]["required"]:
            inputs["negative"] = scene.encode("")
        scene.model = scene.add(kind, model=scene.model, **inputs)[0]
        return core_encode(scene)

    return encode


def draw_by(kind: str, **inputs: Any):
    def draw(scene: Scene, positive: Output) -> Output:
        latent = scene.add("EmptyLatentImage", width=64, height=64)[0]
        wires = {"model": scene.model, "positive": positive, "negative": scene.encode(""), "latent_image": latent}
        node = scene.add(kind, **wires, seed=5, steps=1, cfg=4.0, sampler_name="euler", scheduler="normal", **inputs)
        latent = node[scene.info[kind]["output"].index("LATENT")]
        return scene.add("VAEDecode", samples=latent, vae=scene.vae)[0]

    return draw


def detailer(wildcard: bool):
    def draw(scene: Scene, positive: Output) -> Output:
        mask = scene.add("SolidMask", width=64, height=64, value=1.0)[0]
        image = scene.add("EmptyImage", width=64, height=64, color=8421504)[0]
        segments = scene.add("MaskToSEGS", mask=mask)[0]
        wires = {"model": scene.model, "clip": scene.clip, "vae": scene.vae, "negative": scene.encode("")}
        positive = scene.encode("") if wildcard else positive
        return scene.add(
            "DetailerForEach", image=image, segs=segments, positive=positive, **wires, seed=5, steps=2, cfg=4.0,
            guide_size=64.0, max_size=64.0, denoise=1.0, wildcard=scene.text if wildcard else ""
        )[0]  # fmt: skip

    return draw


def ip_adapter(scaling: str):
    def encode(scene: Scene) -> Output:
        adapter = scene.add("IPAdapterModelLoader", ipadapter_file=f"{scene.family}.safetensors")[0]
        embeds = scene.add("IPAdapterLoadEmbeds", embeds="random.ipadpt")[0]
        # With a negative of its own it asks for no CLIP vision model.
        both = {"pos_embed": embeds, "neg_embed": embeds}
        return patched_by("IPAdapterEmbeds", ipadapter=adapter, embeds_scaling=scaling, **both)(scene)

    return encode


def efficient_loader(scene: Scene) -> Output:
    """It loads and encodes at once: Apply can only come after it."""
    return scene.add("Efficient Loader", ckpt_name=f"{scene.family}.safetensors", positive=scene.text)[1]


def context(scene: Scene) -> Output:
    node = scene.add("Context (rgthree)", model=scene.model, clip=scene.clip, positive=core_encode(scene))
    scene.model = node[1]
    return node[4]


def joined_text(scene: Scene) -> Output:
    return scene.encode(scene.add("StringFunction|pysssss", action="append", text_a="a photo of", text_b=scene.text)[0])


def region(scene: Scene) -> Output:
    mask = scene.add("SolidMask", width=64, height=64, value=1.0)[0]
    return scene.add("RegionalConditioningSimple //Inspire", clip=scene.clip, mask=mask, prompt=scene.text)[0]


ADVANCED = [f"{style}, {norm}" for style, norm in (
    ("comfy", "none"), ("comfy", "mean"), ("comfy", "length+mean"), ("A1111", "none"), ("A1111", "mean"),
    ("compel", "none"), ("comfy++", "none"), ("comfy++", "length"), ("down_weight", "none"),
)]  # fmt: skip
GUIDANCE = ("PerturbedAttention", "SmoothedEnergyGuidanceAdvanced", "SlidingWindowGuidanceAdvanced", "PLADIS",
            "NormalizedAttentionGuidance", "TokenPerturbationGuidance", "FrequencyDecoupledGuidance",
            "MomentumGuidance", "SlidingModeControlCFG")  # fmt: skip
ADV, SMZ, PC = "ComfyUI_ADV_CLIP_emb", "ComfyUI_smZNodes", "comfyui-prompt-control"
IMPACT, EFFICIENCY, GUIDE = "ComfyUI-Impact-Pack", "efficiency-nodes-comfyui", "sd-perturbed-attention"
IPA, INSPIRE, KJ = "ComfyUI_IPAdapter_plus", "ComfyUI-Inspire-Pack", "ComfyUI-KJNodes"
RG, SCRIPTS = "rgthree-comfy", "ComfyUI-Custom-Scripts"


def _advanced(kind: str, text: str, setting: str):
    style, norm = setting.split(", ")
    return encode_by(kind, text=text, weight_interpretation=style, token_normalization=norm)


ROWS = (
    Row("ComfyUI", "CLIP Text Encode"),
    *(Row(ADV, setting, _advanced("BNK_CLIPTextEncodeAdvanced", "text", setting)) for setting in ADVANCED),
    Row(ADV, "SDXL node", _advanced("BNK_CLIPTextEncodeSDXLAdvanced", "text_l text_g", "A1111, mean"),
        families=("sdxl",)),
    *(Row(SMZ, parser, encode_by("smZ CLIPTextEncode", parser=parser))
      for parser in ("comfy", "comfy++", "A1111", "full", "compel", "fixed attention")),
    *(Row(PC, style, encode_by("PCTextEncode", before=f"STYLE({style}) ")) for style in (*ADVANCED, "perp, none")),
    *(Row(PC, word, encode_by("PCTextEncode", before=f"a sunny day {word} "))
      for word in ("BREAK", "CAT", "AND", "AVG(0.3)", "COUPLE(0 0.5)")),
    Row(PC, "lazy", encode_by("PCLazyTextEncode")),
    Row(IMPACT, "wildcards", encode_by("ImpactWildcardEncode", 2, "wildcard_text populated_text")),
    Row(IMPACT, "detailer", draw=detailer(False)),
    Row(IMPACT, "detailer with a wildcard", draw=detailer(True)),
    Row(EFFICIENCY, "KSampler (Efficient)", draw=draw_by("KSampler (Efficient)", vae_decode="false")),
    Row(EFFICIENCY, "Efficient Loader before Apply", efficient_loader, applied_late=True),
    *(Row(GUIDE, kind, patched_by(kind)) for kind in GUIDANCE),
    *(Row(IPA, scaling, ip_adapter(scaling)) for scaling in ("V only", "K+V")),
    Row(INSPIRE, "CLIPTextEncodeWithWeight", encode_by("CLIPTextEncodeWithWeight //Inspire", add_weight=0.2)),
    Row(INSPIRE, "WildcardEncode", encode_by("WildcardEncode //Inspire", 2, "wildcard_text populated_text")),
    Row(INSPIRE, "KSampler", draw=draw_by("KSampler //Inspire", noise_mode="CPU")),
    Row(INSPIRE, "RegionalConditioningSimple", region),
    Row(INSPIRE, "ConcatConditioningsWithMultiplier",
        after("ConcatConditioningsWithMultiplier //Inspire", "conditioning1", multiplier1=0.8)),
    Row(RG, "Power Prompt", encode_by("Power Prompt (rgthree)", text="prompt")),
    Row(RG, "SDXL Power Prompt", encode_by("SDXL Power Prompt - Positive (rgthree)", text="prompt_g prompt_l"),
        families=("sdxl",)),
    Row(RG, "Context", context),
    Row(KJ, "CondPassThrough", after("CondPassThrough", "positive")),
    Row(SCRIPTS, "StringFunction", joined_text),
)  # fmt: skip
