"""Small random files of the networks that templates load beside a model, as the host's loaders take them.

ControlNets and model patches act inside the model; what looks at a picture before it is in ``picture_networks``.
"""

from __future__ import annotations

from typing import Any

import torch

from . import cross_models, joint_models
from .joint_models import randomize
from .make_checkpoints import KEY, note
from .picture_networks import PICTURES, SIGLIP_WIDTH
from .sound_networks import SOUNDS

_HINT, _CODE = 32, 8
"""Channels of what LLLite makes of a control picture, and of its steps."""
_FLUX, _QWEN, _ZIMAGE, _SD3 = (joint_models.JOINT[kind].unet for kind in ("flux1", "qwen_image", "zimage", "sd3"))
_QWEN_WIDTH = _QWEN["num_attention_heads"] * _QWEN["attention_head_dim"]
_PATCHES = "comfy_extras.nodes_model_patch"


def _how() -> dict[str, Any]:
    import comfy.ops

    return {"device": "cpu", "dtype": torch.float32, "operations": comfy.ops.disable_weight_init}


def _weights(network: torch.nn.Module, dtype: torch.dtype = torch.bfloat16) -> dict[str, torch.Tensor]:
    randomize(network)
    return {name: tensor.to(dtype).contiguous() for name, tensor in network.state_dict().items()}


def told(weights: dict[str, torch.Tensor], part: str, **sizes: Any) -> dict[str, torch.Tensor]:
    """The weights with a note of what the host builds for them with constants inside, and its sizes here."""
    return {**weights, KEY: note({}, {}, {part: sizes})}


def lllite(channels: int = 3) -> dict[str, torch.Tensor]:
    """Anima's LLLite: a picture's hint, added in the queries of both attentions of every block and in its MLP."""
    import comfy.ldm.anima.lllite

    width, blocks = cross_models.WIDTH, cross_models.CROSS["anima"].unet["num_blocks"]
    read = {"conv1": channels, "conv3": 3, "proj": 3}
    shown = {f"lllite_conditioning1.{part}.weight": torch.empty(_HINT, width) for part, width in read.items()}
    for block in range(blocks):
        for target in ("self_attn_q_proj", "cross_attn_q_proj", "mlp_layer1"):
            shown[f"lllite_dit_blocks_{block}_{target}.down.weight"] = torch.empty(_CODE, width)
            shown[f"lllite_dit_blocks_{block}_{target}.cond_to_film.weight"] = torch.empty(2 * _CODE, _HINT)
    return _weights(comfy.ldm.anima.lllite.AnimaLLLite(shown, {}, **_how()))


def qwen_control(mask: int = 0) -> dict[str, torch.Tensor]:
    """InstantX's ControlNet of Qwen-Image: blocks of the model's own kind, which read the prompt too; ``mask``
    channels beside the picture's 64."""
    from comfy.ldm.qwen_image.controlnet import QwenImageControlNetModel

    sizes = {**_QWEN, "num_layers": 2}
    network = QwenImageControlNetModel(extra_condition_channels=mask, **sizes, **_how())
    return {**_weights(network), KEY: note(sizes, {}, {})}


def qwen_fun() -> dict[str, torch.Tensor]:
    """The Fun ControlNet of Qwen-Image: two of its five blocks, which begin with the model's own layers."""
    from comfy.ldm.qwen_image.controlnet import QwenImageFunControlNetModel

    sizes = {"num_control_blocks": 2, "main_model_double": _QWEN["num_layers"], "injection_layers": (0, 2)}
    heads = {name: _QWEN[name] for name in ("num_attention_heads", "attention_head_dim")}
    network = QwenImageFunControlNetModel(inner_dim=_QWEN_WIDTH, **heads, **sizes, **_how())
    return told(_weights(network), "comfy.ldm.qwen_image.controlnet.QwenImageFunControlNetModel", **sizes)


def qwen_patch() -> dict[str, torch.Tensor]:
    """DiffSynth's model patch of Qwen-Image: a picture's latent, added behind every block."""
    from comfy_extras.nodes_model_patch import QwenImageBlockWiseControlNet

    sizes = {"num_layers": _QWEN["num_layers"], "dim": _QWEN_WIDTH}
    weights = _weights(QwenImageBlockWiseControlNet(**sizes, **_how()))
    return told(weights, f"{_PATCHES}.QwenImageBlockWiseControlNet", **sizes)


def zimage_patch() -> dict[str, torch.Tensor]:
    """Z-Image's Fun ControlNet, of its six layers, with the names of its file: three matrices where the host has one.
    """
    from comfy.ldm.lumina.controlnet import ZImage_Control

    sizes = {name: _ZIMAGE[name] for name in ("dim", "n_heads", "n_kv_heads", "multiple_of", "ffn_dim_multiplier")}
    names = {".attention.out.": ".attention.to_out.0.", ".k_norm.": ".norm_k.", ".q_norm.": ".norm_q."}
    weights = {}
    for name, tensor in _weights(ZImage_Control(**sizes, **_how())).items():
        for ours, saved in names.items():
            name = name.replace(ours, saved)
        parts = zip("qkv", tensor.chunk(3), strict=True) if ".qkv." in name else [("", tensor)]
        weights |= {name.replace(".qkv.", f".to_{part}."): each.contiguous() for part, each in parts}
    return told(weights, "comfy.ldm.lumina.controlnet.ZImage_Control", **sizes)


def sd3_control(kind: int) -> dict[str, torch.Tensor]:
    """A ControlNet of SD 3.5 large with half the model's blocks, each beside the picture and not behind another.

    ``kind`` is what its file calls the control: 0 for blur, 1 for canny, 2 for depth.
    """
    import comfy.utils
    from comfy.cldm.dit_embedder import ControlNetEmbedder

    depth, part = _SD3["depth"], "comfy.cldm.dit_embedder.ControlNetEmbedder"
    network = ControlNetEmbedder(
        **{"img_size": None, "patch_size": 2, "in_chans": 16, "attention_head_dim": 64, "num_attention_heads": depth},
        **{"adm_in_channels": _SD3["adm_in_channels"], "num_layers": 2, "main_model_double": depth},
        **{"double_y_emb": True, **_how()},
    )
    names = {ours: saved for ours, saved, *_ in comfy.utils.MMDIT_MAP_BASIC}
    # The host copies these from the model.
    weights = {n: t for n, t in _weights(network, torch.float16).items() if not n.startswith("orig_y_embedder.")}
    weights = {names.get(name, name): tensor for name, tensor in weights.items()}
    weights["control_type"] = torch.tensor([kind], dtype=torch.float16)
    return told(weights, part, adm_in_channels=_SD3["adm_in_channels"])


def uso() -> dict[str, torch.Tensor]:
    """USO's projector: a picture as tokens of Flux.1, put before those of the prompt."""
    from comfy_extras.nodes_model_patch import SigLIPMultiFeatProjModel

    sizes = {"siglip_token_dims": SIGLIP_WIDTH, "hidden_size": _FLUX["hidden_size"]}
    weights = _weights(SigLIPMultiFeatProjModel(**sizes, **_how()))
    weights = {f"feature_embedder.{name}": tensor for name, tensor in weights.items()}
    return told(weights, f"{_PATCHES}.SigLIPMultiFeatProjModel", **sizes)


def redux() -> dict[str, torch.Tensor]:
    """The style model of Flux.1 Redux: a picture as encodings, put behind those of the prompt."""
    from comfy.ldm.flux.redux import ReduxImageEncoder

    sizes = {"redux_dim": SIGLIP_WIDTH, "txt_in_features": _FLUX["context_in_dim"]}
    return told(_weights(ReduxImageEncoder(**sizes)), "comfy.ldm.flux.redux.ReduxImageEncoder", **sizes)


SECOND = {
    "model_patches/lllite": lllite,
    "model_patches/lllite_inpaint": lambda: lllite(4),
    "model_patches/qwen_diffsynth": qwen_patch,
    "model_patches/zimage_fun": zimage_patch,
    "model_patches/uso": uso,
    "controlnet/qwen_instantx": qwen_control,
    "controlnet/qwen_instantx_inpaint": lambda: qwen_control(4),
    "controlnet/qwen_fun": qwen_fun,
    "controlnet/sd3_blur": lambda: sd3_control(0),
    "controlnet/sd3_canny": lambda: sd3_control(1),
    "controlnet/sd3_depth": lambda: sd3_control(2),
    "style_models/redux": redux,
    **PICTURES,
    **SOUNDS,
}
"""Folder and kind of second network -> its weights."""
METADATA = {"model_patches/lllite_inpaint": {"lllite.version": "2", "lllite.inpaint_masked_input": "true"}}
"""What the files of some say beside their weights."""
