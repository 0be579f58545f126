"""Files of today's models under the names that official templates ask for, small, and concepts that fit them."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import safe_open

from builders.places import ROOT
from builders.wan_models import FILES as WAN
from builders.weight_forms import form_of
from perfusion_ops import Concept
from perfusion_ops.concept.file import save_concept

_NAMES = ("make_family_files.py", "make_checkpoints.py", "weight_forms.py", "joint_models.py", "cross_models.py")
_NAMES += ("family_first_stages.py", "small_vocabularies.py", "kin_models.py", "second_networks.py")
_NAMES += ("family_networks.py", "picture_networks.py", "wan_models.py", "vision_files.py", "sound_networks.py")
MAKERS = [ROOT / "tests/builders" / name for name in _NAMES]
WORD, SUPERCLASS = "teddy_t", "bear"
LOUD = 10.0
"""Of a concept's values: a prompt of some hundred tokens pays its subject little attention in a random network."""
KINDS = {
    "networks": (
        (r"sd3\.5_large", "sd3"),
        (r"z_image", "zimage"),
        (r"netayume|lumina", "lumina2"),
        (r"schnell", "schnell"),
        (r"flux\.?1-fill", "flux1_fill"),
        (r"flux1-canny", "flux1_canny"),
        (r"flux1-(dev|krea)", "flux1"),
        (r"chroma1", "chroma"),
        (r"flux2_dev", "flux2"),
        (r"flux-2-klein", "klein"),
        (r"qwen_image(?!_layered)|firered", "qwen_image"),
        (r"hidream_[ie]1", "hidream"),
        (r"ovis_image", "ovis"),
        (r"longcat_image", "longcat"),
        (r"newbie", "newbie"),
        (r"chroma-radiance", "chroma_radiance"),
        (r"anima(?!te)", "anima"),
        (r"cosmos_predict2", "cosmos2"),
        (r"hunyuan_dit", "hunyuan_dit"),
        (r"wan2\.2_ti2v_5b", "wan22"),
        (r"wan2\.2_fun_inpaint_5b", "wan22_picture"),
        (r"wan2\.[12]_t2v", "wan21"),
        (r"wan2\.2_(i2v|fun_inpaint)", "wan21_later_picture"),
        (r"wan2[._]1[-_](i2v|fun_inp)|wan21-wanmove", "wan21_picture"),
        (r"wan2\.1_flf2v", "wan21_two_pictures"),
        (r"wan2\.2_fun_camera", "wan21_later_camera"),
        (r"wan2\.1_fun_camera", "wan21_camera"),
        (r"wan2\.1_vace", "wan21_vace"),
        (r"wan2\.[12]_fun_control_(?!5b)", "wan21_control"),
        (r"humo", "wan21_humo"),
        (r"wan2\.2_s2v", "wan21_s2v"),
        (r"wan2\.1_14b_scail", "wan21_scail"),
        (r"wan2\.2_dancer", "wan21_dancer"),
    ),
    "text_encoders": (
        (r"clip_l_hidream", "hidream_clip_l"),
        (r"clip_g_hidream", "hidream_clip_g"),
        (r"llama_3\.1_8b", "llama"),
        (r"clip_l", "clip_l"),
        (r"umt5", "umt5"),
        (r"oldt5", "t5xxl_old"),
        (r"t5xxl", "t5xxl"),
        (r"gemma_2", "gemma2"),
        (r"qwen_3_4b", "qwen3_4b"),
        (r"qwen_3_8b", "qwen3_8b"),
        (r"qwen_3_06b", "qwen3_06b"),
        (r"mistral_3", "mistral"),
        (r"ovis_2", "ovis"),
        (r"gemma_3_4b", "gemma3"),
        (r"jina_clip", "jina"),
        (r"qwen_2\.5_vl_7b", "qwen25"),
    ),
    "beside": ((r"lotus", "lotus"), (r"sam3\.1", "sam3")),
    "model_patches": (
        (r"anima-lllite-inpainting", "lllite_inpaint"),
        (r"anima-lllite", "lllite"),
        (r"qwen_image_.*diffsynth", "qwen_diffsynth"),
        (r"z-image.*fun-controlnet-union", "zimage_fun"),
        (r"uso-flux1-projector", "uso"),
        (r"infinitetalk_multi", "infinitetalk"),
    ),
    "controlnet": (
        (r"qwen-image-instantx.*inpainting", "qwen_instantx_inpaint"),
        (r"qwen-image-instantx", "qwen_instantx"),
        (r"qwen-image.*fun-controlnet", "qwen_fun"),
        (r"sd3\.5_large_controlnet_blur", "sd3_blur"),
        (r"sd3\.5_large_controlnet_canny", "sd3_canny"),
        (r"sd3\.5_large_controlnet_depth", "sd3_depth"),
    ),
    "clip_vision": ((r"sigclip_vision_patch14_384", "siglip"), (r"clip_vision_h", "vit_h")),
    "style_models": ((r"flux1-redux", "redux"),),
    "audio_encoders": (
        (r"whisper_large_v3", "whisper"),
        (r"wav2vec2_large", "wav2vec2_large"),
        (r"wav2vec2-chinese-base", "wav2vec2_base"),
    ),
    "geometry_estimation": ((r"depth_anything_3_mono", "depth_anything"),),
    "upscale_models": ((r"esrgan", "esrgan"),),
    "vae": (
        (r"vae-ft-mse", "sd"),
        (r"wan2\.2_vae", "wan22"),
        (r"wan_?(alpha_)?2[._]1|qwen_image_vae", "wan21"),
        (r"full_encoder_small_decoder|flux2", "flux2"),
        (r"^ae\.", "ae"),
    ),
}
"""Folder -> patterns of file names, and the small file that stands there. ``networks`` draw; those ``beside`` them only
prepare a picture.
"""
FAMILIES = {"schnell": "flux1", "klein": "flux2", "flux1_fill": "flux1", "flux1_canny": "flux1"}
FAMILIES |= dict.fromkeys(WAN, "wan21") | {"wan22_picture": "wan22"}
"""Kind of network -> its family as concept files name it, where the two differ."""
DRAWN_ONLY = ("flux1_fill", "flux1_canny", "wan22_picture", *WAN)
"""Kinds that read pictures, poses or sounds beside the noisy latent: nothing is trained in them."""
LAYERS = {
    "sd3": r"(joint_blocks\.\d+)\.context_block\.attn\.qkv\.weight",
    "zimage": r"(layers\.\d+\.attention)\.qkv\.weight",
    "lumina2": r"(layers\.\d+\.attention)\.qkv\.weight",
    "flux1": r"(double_blocks\.\d+|single_blocks\.\d+)\.(?:txt_attn\.proj|linear2)\.weight",
    "hidream": r"(double_stream_blocks\.\d+(?=.*_t\.)|single_stream_blocks\.\d+)\.block\.attn1\.to_v(?:_t)?\.weight",
    "qwen_image": r"(transformer_blocks\.\d+\.attn)\.add_v_proj\.weight",
    "anima": r"(blocks\.\d+\.cross_attn)\.v_proj\.weight",
    "wan21": r"(blocks\.\d+\.cross_attn)\.v\.weight",
    "hunyuan_dit": r"(blocks\.\d+\.attn2)\.kv_proj\.weight",
}
LAYERS |= {kind: LAYERS["flux1"] for kind in ("ovis", "longcat", "chroma_radiance")} | {"newbie": LAYERS["lumina2"]}
LAYERS |= {"chroma": LAYERS["flux1"], "flux2": LAYERS["flux1"], "cosmos2": LAYERS["anima"], "wan22": LAYERS["wan21"]}
"""Family -> where a network's layers with text values stand in its file."""


def kind_of(folder: str, name: str) -> str | None:
    """The kind of file that a name in an official template asks for; none for a model that no small file is like."""
    return next((kind for pattern, kind in KINDS[folder] if re.search(pattern, name, re.IGNORECASE)), None)


def file_of(folder: str, name: str) -> str | None:
    """The small file, in the form of the official one, for a name below one of the host's folders; none if none is."""
    kinds = ("networks", "beside") if folder in ("diffusion_models", "checkpoints") else (folder,)
    kind = next((kind for each in kinds if (kind := kind_of(each, name))), None)
    form = form_of(name)
    return kind and f"{folder}/{kind}" + ("" if form == "whole" else f"@{form}")


def family_of(kind: str) -> str:
    return FAMILIES.get(kind, kind)


def files(names: Iterable[str], comfyui: Path) -> dict[str, Path]:
    """Name such as ``vae/ae`` -> the small file, made once per version of its maker."""
    key = hashlib.sha256(b"".join(maker.read_bytes() for maker in MAKERS)).hexdigest()[:12]
    folder = ROOT / "build" / "families" / key
    found = {name: folder / f"{name}.safetensors" for name in dict.fromkeys(names)}
    missing = [name for name, path in found.items() if not path.exists()]
    if missing:
        subprocess.run([sys.executable, "-P", MAKERS[0], comfyui, folder, *missing], check=True, timeout=900)
    return found


def install(folder: Path, wanted: dict[str, str], comfyui: Path) -> None:
    """Put files into a host's folder: ``wanted`` is path below models/ -> name of the small file."""
    found = files(wanted.values(), comfyui)
    for path, name in wanted.items():
        target = folder / "models" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.symlink_to(found[name])


def widths(kind: str, network: Path) -> dict[str, int]:
    """Layer name -> width of its values, read off a network's file."""
    family, found = family_of(kind), {}
    with safe_open(network, "pt") as file:
        for name in file.keys():  # noqa: SIM118
            match = re.fullmatch(rf"(?:net\.)?{LAYERS[family]}", name)
            if match:
                shape = file.get_slice(name).get_shape()
                found[match[1]] = _value_width(family, shape)
    return found


def _value_width(family: str, shape: list[int]) -> int:
    heads = {"sd3": (3, 3), "zimage": (4, 4), "lumina2": (4, 2), "newbie": (4, 2), "hunyuan_dit": (0, 1)}.get(family)
    if heads is None:
        return shape[0]
    queries, values = heads
    return shape[0] // (queries + 2 * values) * values


def concept(kind: str, network: Path) -> Concept:
    """A concept for a small network: nothing trained, every part at work."""
    generator = torch.Generator().manual_seed(1)
    residuals = {name: LOUD * torch.randn(width, generator=generator) for name, width in widths(kind, network).items()}
    parts = {"word": WORD, "superclass": SUPERCLASS, "base_family": family_of(kind), "value_residuals": residuals}
    if family_of(kind) != "anima":
        return Concept(gate="position", **parts)
    width = 64
    target = torch.randn(width, generator=generator)
    return Concept(
        target_input=target,
        target_dual=target / width,
        superclass_encoding=torch.randn(width, generator=generator),
        word_embeddings={"qwen3_06b": torch.randn(width, generator=generator)},
        **parts,
    )


def write_concepts(folder: Path, kinds: Iterable[str], comfyui: Path) -> None:
    """Save the concept of each kind in a host's folder, as ``KIND.safetensors``."""
    (folder / "models/perfusion").mkdir(parents=True, exist_ok=True)
    for name, network in files([f"diffusion_models/{kind}" for kind in sorted(kinds)], comfyui).items():
        kind = name.split("/")[1]
        save_concept(concept(kind, network), folder / f"models/perfusion/{kind}.safetensors", "fp32")
