"""Small random models of the families with joint attention, of the host's own classes, and prompts for them."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from . import small_vocabularies
from .older_hosts import skip_without

_LUMINA = {"image_model": "lumina2", "patch_size": 2, "in_channels": 16, "n_layers": 3, "n_refiner_layers": 1}
_LUMINA |= {"n_heads": 4, "multiple_of": 32, "ffn_dim_multiplier": 1.0, "qk_norm": True, "cap_feat_dim": 40}
_LUMINA |= {"axes_lens": [64, 64, 64], "rope_theta": 256.0}
_FLUX = {"in_channels": 16, "out_channels": 16, "vec_in_dim": 24, "context_in_dim": 40, "hidden_size": 96}
_FLUX |= {"mlp_ratio": 2.0, "num_heads": 4, "depth": 2, "depth_single_blocks": 2, "axes_dim": [4, 10, 10]}
_FLUX |= {"theta": 10000, "patch_size": 2, "qkv_bias": True, "txt_ids_dims": []}
_CHROMA = {**_FLUX, "image_model": "chroma", "in_channels": 64, "out_channels": 64, "in_dim": 64, "out_dim": 96}
_FLUX2 = {**_FLUX, "image_model": "flux2", "in_channels": 128, "out_channels": 128, "vec_in_dim": None}
_FLUX2 |= {"axes_dim": [6, 6, 6, 6], "patch_size": 1, "qkv_bias": False, "ops_bias": False, "global_modulation": True}
_FLUX2 |= {"mlp_silu_act": True, "txt_ids_dims": [3], "guidance_embed": True, "theta": 2000}
_QWEN = {"image_model": "qwen_image", "patch_size": 2, "in_channels": 64, "out_channels": 16, "num_layers": 3}
_QWEN |= {"attention_head_dim": 24, "num_attention_heads": 4, "joint_attention_dim": 40, "axes_dims_rope": (8, 8, 8)}
_SD3 = {"in_channels": 16, "out_channels": 16, "patch_size": 2, "input_size": None, "depth": 3, "num_blocks": 3}
_SD3 |= {"adm_in_channels": 48, "qk_norm": "rms", "pos_embed_scaling_factor": None, "x_block_self_attn_layers": [0, 1]}
_SD3 |= {"context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": 4096, "out_features": 192}}}
_HIDREAM = {"image_model": "hidream", "patch_size": 2, "in_channels": 16, "out_channels": 16, "num_layers": 2}
_HIDREAM |= {"num_single_layers": 2, "attention_head_dim": 24, "num_attention_heads": 4, "axes_dims_rope": [8, 8, 8]}
_HIDREAM |= {"caption_channels": [40, 40], "text_emb_dim": 48, "num_routed_experts": 4, "num_activated_experts": 2}
_HIDREAM |= {"max_resolution": [128, 128], "llama_layers": [0, 1, 2, 2]}


@dataclass(frozen=True)
class Facts:
    """What is particular to a small model of one family."""

    config: str
    """Name of the host's class."""
    unet: dict
    latent: tuple[int, ...] = (16, 8, 8)
    layers: int = 4
    pooled: int | None = None
    context: int = 40
    """Width of the encodings."""
    first_text_place: int = 0
    """Where the prompt's first token stands in the attention's sequence."""
    first_tokens: int | None = None
    """Of a prompt's tokens, how many are the first text's; the others are those of a second; none: there is one."""
    extra: dict = field(default_factory=dict)


JOINT = {
    "zimage": Facts(
        "ZImage",
        {**_LUMINA, "dim": 256, "n_kv_heads": 4, "axes_dims": [16, 24, 24]}
        | {"z_image_modulation": True, "time_scale": 1000.0, "pad_tokens_multiple": 32},
        layers=3,
    ),
    "lumina2": Facts("Lumina2", {**_LUMINA, "dim": 96, "n_kv_heads": 2, "axes_dims": [8, 8, 8]}, layers=3),
    "flux1": Facts("Flux", {**_FLUX, "image_model": "flux", "guidance_embed": True}, pooled=24),
    "chroma": Facts("Chroma", _CHROMA | {"hidden_dim": 64, "n_layers": 2}),
    "flux2": Facts("Flux2", _FLUX2, latent=(128, 4, 4), first_text_place=512 - 11),
    "qwen_image": Facts("QwenImage", _QWEN, layers=3),
    "sd3": Facts("SD3", _SD3, layers=3, pooled=48, context=4096),
    "hidream": Facts("HiDream", _HIDREAM, pooled=48, first_text_place=16, first_tokens=5),
}
TOKENS = 11
WIDTH = 40


def joint_model(family: str, dtype: torch.dtype = torch.float32, **changes):
    """A MODEL of ``family`` with random weights, as the host's loader would make it; ``changes`` in its sizes."""
    facts = JOINT[family]
    return small_model(facts.config, facts.unet | changes, dtype)


def small_model(
    config: str,
    sizes: dict,
    dtype: torch.dtype,
    narrow: Callable = lambda net, operations: None,
    computing: torch.dtype = torch.float32,
):
    """A MODEL of one of the host's classes, ``computing`` in a dtype; weights of another are cast at every use."""
    import comfy.model_patcher
    import comfy.ops
    import comfy.supported_models

    if not hasattr(comfy.supported_models, config):
        skip_without(f"model {config}")
    config = getattr(comfy.supported_models, config)(dict(sizes))
    small = dtype != computing
    config.custom_operations = comfy.ops.manual_cast if small else comfy.ops.disable_weight_init
    config.set_inference_dtype(computing, computing if small else None)
    model = config.get_model({}, device="cpu")
    narrow(model.diffusion_model, config.custom_operations)
    randomize(model.diffusion_model)
    if small:
        for parameter in model.diffusion_model.parameters():
            parameter.data = parameter.data.to(dtype)
    device = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model, device, device)


@torch.no_grad()
def randomize(module: torch.nn.Module, seed: int = 1) -> None:
    """Random weights under which every layer matters; norms near 1."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        if parameter.numel() > MOST_NUMBERS:
            continue
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim >= 2:
            parameter.copy_(noise / math.sqrt(parameter[0].numel()))
        else:
            parameter.copy_((1.0 if "norm" in name or name.endswith("scale") else 0.0) + 0.1 * noise)
    module.eval().requires_grad_(False)


_QWEN3 = {"hidden_size": WIDTH, "intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1}
_T5 = {"d_model": WIDTH, "d_ff": 64, "d_kv": 16, "num_heads": 2, "num_layers": 2}
_CLIP_L = {"hidden_size": 24, "intermediate_size": 48, "num_attention_heads": 2, "num_hidden_layers": 2}
CLIPS = {
    "zimage": ("z_image", "ZImageTokenizer", "te", {"qwen3_4b_model_config": _QWEN3 | {"num_hidden_layers": 3}}),
    "flux1": ("flux", "FluxTokenizer", "flux_clip", {"t5xxl_model_config": _T5, "clip_l_model_config": _CLIP_L}),
    "flux2": ("flux", "KleinTokenizer", "klein_te", {"qwen3_4b_model_config": _QWEN3 | {"num_hidden_layers": 28}}),
    "qwen_image": (
        *("qwen_image", "QwenImageTokenizer", "te"),
        {"qwen25_7b_model_config": _QWEN3 | {"num_hidden_layers": 2}},
    ),
    # The host pads CLIP's encodings to 4096 features, beside T5's.
    "sd3": (
        *("sd3_clip", "SD3Tokenizer", "sd3_clip"),
        {
            "t5xxl_model_config": _T5 | {"d_model": 4096},
            "clip_l_model_config": _CLIP_L | {"num_hidden_layers": 3},
            "clip_g_model_config": _CLIP_L | {"num_hidden_layers": 3, "hidden_act": "gelu"},
        },
    ),
    "hidream": (
        *("hidream", "HiDreamTokenizer", "hidream_clip"),
        {
            "t5xxl_model_config": _T5,
            "clip_l_model_config": _CLIP_L | {"num_hidden_layers": 3},
            "clip_g_model_config": _CLIP_L | {"num_hidden_layers": 3, "hidden_act": "gelu"},
            "llama_model_config": _QWEN3 | {"num_hidden_layers": 3},
        },
    ),
}
"""Family -> the host's file, tokenizers and text encoders, and the sizes of small ones."""


def joint_clip(family: str):
    """A CLIP of ``family``: the host's own tokenizers, and text encoders of its own classes with random weights."""
    return host_clip(*CLIPS[family])


def host_clip(module: str, tokenizer: str, encoder: str, sizes: dict, **read: torch.Tensor):
    """The same of one of the host's files; ``read`` is what its tokenizers read in files of text encoders."""
    import importlib

    import comfy.sd
    import comfy.supported_models_base

    texts = importlib.import_module(f"comfy.text_encoders.{module}")
    target = comfy.supported_models_base.ClipTarget(getattr(texts, tokenizer), getattr(texts, encoder)())
    if module == "hidream" and not small_vocabularies.reads_llama():
        skip_without("tokenizer of its own for Llama")
    with small_parts():
        clip = comfy.sd.CLIP(target, model_options={**sizes, "dtype": torch.float32}, tokenizer_data=read)
    overlap_wide_vocabularies(clip.cond_stage_model)
    randomize(clip.cond_stage_model)
    return clip


@contextmanager
def small_parts():
    """The part of Qwen2.5-VL that sees, which has no settings, with one narrow layer; and few words for Llama."""
    from comfy.text_encoders import hunyuan_video, qwen_vl

    words = hunyuan_video.LlamaTokenizerFast
    if small_vocabularies.reads_llama():
        small_vocabularies.read_instead_of_llama(small_vocabularies.llama())
    eyes, small = qwen_vl.Qwen2VLVisionTransformer, {"hidden_size": 32, "intermediate_size": 48, "num_heads": 2}
    qwen_vl.Qwen2VLVisionTransformer = lambda **sizes: eyes(**(sizes | small), num_layers=1)
    try:
        yield
    finally:
        qwen_vl.Qwen2VLVisionTransformer, hunyuan_video.LlamaTokenizerFast = eyes, words


MOST_NUMBERS = 50_000_000
"""Of a vocabulary in a test's text encoder, with numbers of its own."""


def overlap_wide_vocabularies(module: torch.nn.Module) -> None:
    """Before ``randomize``, which leaves these alone."""
    for part in module.modules():
        if isinstance(part, torch.nn.Embedding) and part.weight.numel() > MOST_NUMBERS:
            part.weight = _overlapping_rows(*part.weight.shape)


def _overlapping_rows(words: int, width: int) -> torch.nn.Parameter:
    """A wide vocabulary that takes no memory: every word's numbers are the last one's, moved by one."""
    numbers = torch.randn(words + width, generator=torch.Generator().manual_seed(3))
    return torch.nn.Parameter((numbers / math.sqrt(width)).as_strided((words, width), (1, 1)))


def joint_vae(channels: int = 16):
    """A small first stage with random weights, of a class the host has for previews."""
    import comfy.sd
    import comfy.taesd.taesd

    first_stage = comfy.taesd.taesd.TAESD(latent_channels=channels)
    randomize(first_stage)
    return comfy.sd.VAE(sd=first_stage.state_dict())
