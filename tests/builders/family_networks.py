"""Small random networks of today's models, as their files have them."""

from __future__ import annotations

import torch

from . import cross_models, joint_models, kin_models, vision_files, wan_models
from .joint_models import randomize
from .make_checkpoints import KEY, note
from .sound_networks import SOUND_WIDTH

HEAD_KEYS = {
    "zimage": {"cap_embedder.1.weight": (3840, 2560)},
    "lumina2": {"cap_embedder.1.weight": (2304, 2304)},
    "newbie": {"cap_embedder.1.weight": (2304, 2560)},
    "longcat": {"txt_in.weight": (3072, 3584)},
    "anima": {"x_embedder.proj.1.weight": (2048, 68)},
    "cosmos2": {"x_embedder.proj.1.weight": (2048, 68)},
}
"""Kind of network -> the keys by whose width the host knows it."""
WIDTH = joint_models.WIDTH
ADAPTER = dict.fromkeys(("source_dim", "target_dim", "model_dim"), cross_models.WIDTH)
NET = ("anima", "cosmos2")
PARTS = {
    "anima": {"comfy.ldm.anima.model.LLMAdapter": ADAPTER | {"num_layers": 1, "num_heads": 4}},
    "qwen25": {
        "comfy.text_encoders.qwen_vl.Qwen2VLVisionTransformer": {"hidden_size": 64, "intermediate_size": 64}
        | {"num_heads": 2, "num_layers": 1}
    },
}
# A picture as the small CLIP vision model sees it, and a sound as the small audio encoders hear it.
SEEN = {"in_dim": vision_files.WIDTH}
PARTS |= {kind: {"comfy.ldm.wan.model.MLPProj": SEEN} for kind in wan_models.FILES}
PARTS["wan21_dancer"]["comfy.ldm.wan.model_wandancer.MLPProj"] = SEEN
PARTS["wan21_humo"]["comfy.ldm.wan.model.AudioProjModel"] = {"channels": SOUND_WIDTH}
"""Kind -> what the host builds with constants inside, and the arguments that make it small."""


def networks() -> dict[str, tuple[str, dict]]:
    """Kind -> the host's class of its checkpoints, and its configuration."""
    flux2, joint, cross = joint_models.JOINT["flux2"].unet, joint_models.JOINT, cross_models.CROSS
    found = {kind: (facts.config, facts.unet) for kind, facts in (joint | cross | kin_models.KIN).items()}
    found["schnell"] = ("FluxSchnell", joint["flux1"].unet | {"guidance_embed": False})
    found["flux1_fill"] = ("FluxInpaint", joint["flux1"].unet | {"in_channels": 96})
    found["flux1_canny"] = ("Flux", joint["flux1"].unet | {"in_channels": 32})
    found["flux2"] = ("Flux2", flux2 | {"context_in_dim": 3 * WIDTH})
    found["klein"] = ("Flux2", flux2 | {"context_in_dim": 3 * WIDTH, "guidance_embed": False})
    found["wan22"] = ("WAN22_T2V", cross["wan21"].unet | {"in_dim": 48, "out_dim": 48})
    found["wan22_picture"] = ("WAN22_T2V", found["wan22"][1] | {"in_dim": 100})
    wan = {kind: wan_models.facts_of(name) for kind, name in wan_models.FILES.items()}
    found |= {kind: (facts.config, facts.unet) for kind, facts in wan.items()}
    return found


def network(kind: str) -> dict[str, torch.Tensor]:
    """Weights in bfloat16, with what the host's detection is to see."""
    import comfy.ops
    import comfy.supported_models

    name, sizes = networks()[kind]
    narrow(kind)
    config = getattr(comfy.supported_models, name)(dict(sizes))
    config.custom_operations = comfy.ops.disable_weight_init
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, device="cpu").diffusion_model
    randomize(model)
    # The official files of both models say so before each key.
    prefix = "net." if kind in NET else ""
    weights = {name: tensor.bfloat16().contiguous() for name, tensor in model.state_dict().items()}
    weights[KEY] = note(sizes, HEAD_KEYS.get(kind, {}), PARTS.get(kind, {}))
    return {prefix + name: tensor for name, tensor in weights.items()}


def narrow(kind: str) -> None:
    from builders import small_sizes

    small_sizes.narrow(PARTS.get(kind, {}))
