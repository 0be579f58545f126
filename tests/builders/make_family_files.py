"""Write small random files of today's models, in the layouts that ComfyUI's own loaders take: weights, text encoders
with their tokenizers inside, first stages, whole checkpoints and LoRAs.

Run as ``python make_family_files.py COMFYUI FOLDER FILE ...`` in its own process: it imports the host. Sizes that the
host has as constants are told in each file: see small_sizes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import save_file

sys.path.append(str(Path(__file__).resolve().parents[1]))
from builders import cross_models, joint_models, kin_models  # noqa: E402
from builders.family_first_stages import first_stage  # noqa: E402
from builders.family_networks import NET, PARTS, narrow, network  # noqa: E402
from builders.joint_models import randomize  # noqa: E402
from builders.make_checkpoints import FEW_LAYERS, KEY, note, random_weights, unet_config  # noqa: E402
from builders.second_networks import METADATA, SECOND  # noqa: E402
from builders.small_vocabularies import llama, pieces, tekken  # noqa: E402
from builders.weight_forms import in_form  # noqa: E402

WIDTH = joint_models.WIDTH
_QWEN3 = {"hidden_size": WIDTH, "intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1}
_T5 = {"d_model": WIDTH, "d_ff": 64, "d_kv": 16, "num_heads": 2}
_DEPTH = "encoder.block.23.layer.1.DenseReluDense"
"""The host counts to 24 layers to know a T5."""
_NORM = "model.layers.0.post_attention_layernorm.weight"


def encoders() -> dict[str, tuple]:
    """Kind -> (the host's text encoder, its name there, sizes, shown shapes, what its tokenizer reads)."""
    from comfy import sd1_clip, sdxl_clip
    from comfy.text_encoders import anima, cosmos, flux, lumina2, ovis, pixart_t5, qwen_image, wan, z_image

    wide = {**_T5, "num_layers": 24}
    sd3 = joint_models.CLIPS["sd3"][3]
    gemma = {**_QWEN3, "num_hidden_layers": 3, "vocab_size": 800}
    mistral = {**_QWEN3, "num_hidden_layers": 30, "vocab_size": 1400}
    return {
        "t5xxl": (pixart_t5.pixart_te(), "t5xxl", wide, {f"{_DEPTH}.wi_1.weight": (10240, 4096)}, {}),
        "sd3_t5xxl": (pixart_t5.pixart_te(), "t5xxl", sd3["t5xxl_model_config"], {}, {}),
        "sd3_clip_l": (sd1_clip.SD1ClipModel, "clip_l", sd3["clip_l_model_config"], {}, {}),
        "sd3_clip_g": (sdxl_clip.SDXLRefinerClipModel, "clip_g", sd3["clip_g_model_config"], {}, {}),
        "hidream_clip_l": (sd1_clip.SD1ClipModel, "clip_l", sd3["clip_l_model_config"], {}, {}),
        # The host counts to 31 layers to know it.
        "hidream_clip_g": (
            *(sdxl_clip.SDXLRefinerClipModel, "clip_g", sd3["clip_g_model_config"] | {"num_hidden_layers": 32}),
            *({}, {}),
        ),
        "llama": (_llama, "llama", joint_models.CLIPS["hidream"][3]["llama_model_config"], {}, {}),
        "t5xxl_old": (cosmos.te(), "t5xxl", wide | {"d_model": cross_models.WIDTH}, {}, {}),
        "umt5": (
            *(wan.te(), "umt5xxl", wide | {"d_model": 48, "vocab_size": 800}),
            *({f"{_DEPTH}.wi_1.weight": (10240, 4096)}, {"spiece_model": pieces(pad_id=0, eos_id=1, unk_id=2)}),
        ),
        "gemma2": (
            *(lumina2.te(), "gemma2_2b", gemma, {}),
            {"spiece_model": pieces(pad_id=0, eos_id=1, bos_id=2, unk_id=3)},
        ),
        "gemma3": (
            *(_newbie("gemma"), "", kin_models.NEWBIE, {}),
            {"spiece_model": pieces(pad_id=0, eos_id=1, bos_id=2, unk_id=3)},
        ),
        "jina": (
            *(_newbie("jina"), "", kin_models.NEWBIE, {}),
            {"spiece_model": pieces(pad_id=0, eos_id=1, bos_id=2, unk_id=3)},
        ),
        "bert": (_hunyuan("hydit_clip"), "hydit_clip", cross_models.CROSS["hunyuan_dit"].sizes, {}, {}),
        "mt5": (
            *(_hunyuan("mt5xl"), "mt5xl", _T5 | {"d_model": 48, "num_layers": 2, "vocab_size": 800}, {}),
            {"mt5xl.spiece_model": pieces(pad_id=0, eos_id=1, unk_id=2)},
        ),
        "ovis": (ovis.te(), "qwen3_2b", _QWEN3 | {"num_hidden_layers": 2}, {_NORM: (2048,)}, {}),
        "qwen3_4b": (z_image.te(), "qwen3_4b", _QWEN3 | {"num_hidden_layers": 28}, {_NORM: (2560,)}, {}),
        "qwen3_8b": (
            *(flux.klein_te(model_type="qwen3_8b"), "qwen3_8b", _QWEN3 | {"num_hidden_layers": 28}),
            *({_NORM: (4096,)}, {}),
        ),
        "qwen3_06b": (anima.te(), "qwen3_06b", cross_models.CROSS["anima"].sizes, {_NORM: (1024,)}, {}),
        "mistral": (
            *(flux.flux2_te(pruned=True), "mistral3_24b", mistral, {_NORM: (5120,)}),
            {"tekken_model": tekken()},
        ),
        "qwen25": (
            *(qwen_image.te(), "qwen25_7b", _QWEN3 | {"num_hidden_layers": 2}),
            *({"model.layers.0.self_attn.k_proj.bias": (512,)}, {}),
        ),
    }


def encoder(kind: str) -> dict[str, torch.Tensor]:
    """Weights in bfloat16 under the names of their own files, and the tokenizer where the file holds it."""
    narrow(kind)
    if kind == "clip_l":
        import comfy.sd1_clip

        sizes, shown, beside = {"clip_l_model_config": joint_models.CLIPS["flux1"][3]["clip_l_model_config"]}, {}, {}
        part = comfy.sd1_clip.SDClipModel(dtype=torch.float32, model_options=dict(sizes))
    else:
        made, name, small, shown, beside = encoders()[kind]
        sizes = {f"{name}_model_config": small}
        whole = made(dtype=torch.float32, model_options=dict(sizes))
        part = getattr(whole, whole.clip)
    joint_models.overlap_wide_vocabularies(part.transformer)
    randomize(part.transformer, 2)
    weights = {name: tensor.bfloat16().contiguous() for name, tensor in part.transformer.state_dict().items()}
    words = llama() if kind == "llama" else {}
    return {**weights, **beside, KEY: note(sizes, shown, PARTS.get(kind, {}), words)}


def _newbie(part: str) -> Callable:
    from comfy.text_encoders import newbie

    return lambda **settings: SimpleNamespace(clip=part, **{part: getattr(newbie.te()(**settings), part)})


def _hunyuan(part: str) -> Callable:
    from comfy.text_encoders import hydit

    return lambda **settings: SimpleNamespace(clip=part, **{part: getattr(hydit.HyditModel(**settings), part)})


def _llama(**settings) -> SimpleNamespace:
    from comfy.text_encoders import hunyuan_video

    settings["model_options"]["vocab_size"] = 128256
    return SimpleNamespace(clip="llama", llama=hunyuan_video.LLAMAModel(layer="all", layer_idx=None, **settings))


def whole_checkpoint(kind: str, texts: dict[str, str], form: str) -> dict[str, torch.Tensor]:
    """Network, text encoders (kind -> name) and VAE in one, as Load Checkpoint takes them."""
    weights = {f"model.diffusion_model.{name}": tensor for name, tensor in in_form(network(kind), form).items()}
    prefix = "first_stage_model" if kind == "sd3" else "vae"
    stage = "sd" if kind == "hunyuan_dit" else "ae"
    weights |= {f"{prefix}.{name}": tensor for name, tensor in first_stage(stage).items()}
    sizes = {}
    for text, name in texts.items():
        part = in_form(encoder(text), form)
        sizes |= json.loads(bytes(part.pop(KEY).tolist()))["sizes"]
        for words in [key for key in part if key.endswith("spiece_model")]:
            weights[f"text_encoders.{words}"] = part.pop(words)
        weights |= {f"text_encoders.{name}.transformer.{key}": tensor for key, tensor in part.items()}
    return {**weights, f"text_encoders.{KEY}": note(sizes, {}, {})}


def lora(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A LoRA of rank 2 on three matrices of a network."""
    matrices = [name for name, tensor in weights.items() if tensor.ndim == 2 and name.endswith("weight")]
    chosen = [name for name in matrices if "blocks.1." in name or "layers.1." in name][:3]
    generator, made = torch.Generator().manual_seed(3), {}
    for name in chosen:
        out, width = weights[name].shape
        stem = f"diffusion_model.{name.removeprefix('net.').removesuffix('.weight')}"
        made[f"{stem}.lora_up.weight"] = torch.randn(out, 2, generator=generator)
        made[f"{stem}.lora_down.weight"] = torch.randn(2, width, generator=generator) / width**0.5
    return made


def refiner() -> dict[str, torch.Tensor]:
    """A checkpoint of SDXL's refiner: its own depths, context, sizes and one text encoder; few channels and layers."""
    import comfy.clip_model
    import comfy.ldm.modules.diffusionmodules.openaimodel as openaimodel
    import comfy.ops
    import comfy.supported_models
    import comfy.taesd.taesd

    sizes = {"model_channels": 64, "num_res_blocks": [2] * 4, "channel_mult": [1] * 4, "transformer_depth_middle": 4}
    sizes |= {"transformer_depth": [0, 0, 4, 4, 4, 4, 0, 0], "context_dim": 1280, "adm_in_channels": 2560}
    sizes |= {"transformer_depth_output": [0, 0, 0, 4, 4, 4, 4, 4, 4, 0, 0, 0]}
    known = {name: size for name, size in unet_config("sdxl").items() if name not in ("dtype", *sizes)}
    whole, plain = {**known, **sizes}, comfy.ops.disable_weight_init
    unet = openaimodel.UNetModel(**whole, dtype=torch.float32, device="meta", operations=plain)
    weights = {f"model.diffusion_model.{name}": tensor for name, tensor in random_weights(unet, 0).items()}
    first_stage = random_weights(comfy.taesd.taesd.TAESD(latent_channels=4), 7)
    first_stage |= {"vae_scale": torch.tensor(1.0), "vae_shift": torch.tensor(0.0)}
    weights |= {f"first_stage_model.{name}": tensor for name, tensor in first_stage.items()}
    told = json.loads((Path(comfy.__path__[0]) / "clip_config_bigg.json").read_text())
    text = comfy.clip_model.CLIPTextModel({**told, **FEW_LAYERS}, torch.float32, "meta", plain)
    saved = {f"clip_g.transformer.{name}": tensor for name, tensor in random_weights(text, 1).items()}
    weights |= comfy.supported_models.SDXLRefiner({}).process_clip_state_dict_for_saving(saved)
    weights = {name: tensor.half().contiguous() for name, tensor in weights.items()}
    weights[f"conditioner.embedders.0.model.{KEY}"] = note({"clip_g_model_config": FEW_LAYERS}, {}, {})
    weights[f"model.diffusion_model.{KEY}"] = note(whole, {"input_blocks.0.0.weight": (384, 4, 3, 3)}, {})
    return weights


CHECKPOINTS = {
    "flux1": {"clip_l": "clip_l", "t5xxl": "t5xxl"},
    "hunyuan_dit": {"bert": "hydit_clip", "mt5": "mt5xl"},
    "schnell": {"clip_l": "clip_l", "t5xxl": "t5xxl"},
    "lumina2": {"gemma2": "gemma2_2b"},
    # The host pads CLIP's encodings to 4096 features, so that this T5 has as many: 260 MB of vocabulary.
    "sd3": {"sd3_clip_l": "clip_l", "sd3_clip_g": "clip_g", "sd3_t5xxl": "t5xxl"},
}


def made(name: str) -> dict[str, torch.Tensor]:
    """The file of a name such as ``vae/ae`` or ``diffusion_models/zimage@int8``."""
    folder, kind = name.split("/")
    kind, _, form = kind.partition("@")
    form = form or "whole"
    if kind == "refiner":
        return refiner()
    if name in SECOND:
        return SECOND[name]()
    if folder == "checkpoints":
        return whole_checkpoint(kind, CHECKPOINTS[kind], form)
    if folder == "loras":
        return lora(network(kind))
    weights = {"diffusion_models": network, "text_encoders": encoder, "vae": first_stage}[folder](kind)
    return in_form(weights, form, "net." if kind in NET else "")


def main(comfyui: str, folder: str, *names: str) -> None:
    sys.path.insert(0, comfyui)
    from comfy.cli_args import args

    args.cpu = True
    torch.manual_seed(0)
    for name in names:
        path = Path(folder) / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Several processes may find it missing at once.
        partial = path.with_suffix(f".{os.getpid()}.partial")
        save_file(made(name), partial, METADATA.get(name))
        partial.rename(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
