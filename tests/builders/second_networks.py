"""Small random files of the networks that templates load beside a model, as the host's loaders take them."""

from __future__ import annotations

import torch

from . import cross_models
from .joint_models import randomize

_HINT, _CODE = 32, 8
"""Channels of what LLLite makes of a control picture, and of its steps."""


def lllite() -> dict[str, torch.Tensor]:
    """Anima's LLLite: a picture's hint, added in the queries of both attentions of every block and in its MLP."""
    import comfy.ldm.anima.lllite
    import comfy.ops

    width, blocks = cross_models.WIDTH, cross_models.CROSS["anima"].unet["num_blocks"]
    shown = {f"lllite_conditioning1.{part}.weight": torch.empty(_HINT, 3) for part in ("conv1", "conv3", "proj")}
    for block in range(blocks):
        for target in ("self_attn_q_proj", "cross_attn_q_proj", "mlp_layer1"):
            shown[f"lllite_dit_blocks_{block}_{target}.down.weight"] = torch.empty(_CODE, width)
            shown[f"lllite_dit_blocks_{block}_{target}.cond_to_film.weight"] = torch.empty(2 * _CODE, _HINT)
    how = {"device": torch.device("cpu"), "dtype": torch.float32, "operations": comfy.ops.disable_weight_init}
    network = comfy.ldm.anima.lllite.AnimaLLLite(shown, {}, **how)
    randomize(network)
    return {name: tensor.bfloat16().contiguous() for name, tensor in network.state_dict().items()}


SECOND = {"lllite": lllite}
"""Kind of second network -> its weights."""
