"""Write small random checkpoints that the host's own loader takes for SD 1.x, SD 2.x and SDXL.

Run as ``python make_checkpoints.py COMFYUI NAME FILE`` in its own process: it imports the host. NAME is a family,
``sd1_quick``, whose text encoder has few layers, ``sd1_full``, which has all blocks of SD 1.x, or ``controlnet``, for
SD 1.x. ``sd1_full``, SDXL and SD 2.x are small by ``small_sizes``: encodings have their true width, and the U-Net's
layers their true names and number, but few channels.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

BLOCKS = {
    "sd1": {"num_res_blocks": [1, 1], "depth": [1, 1], "output": [1, 1, 1, 1], "middle": 1},
    "sd2": {"num_res_blocks": [1, 1], "depth": [1, 1], "output": [1, 1, 1, 1], "middle": 1},
    # SDXL is known by its depths.
    "sdxl": {
        "num_res_blocks": [2, 2, 2],
        "depth": [0, 0, 2, 2, 10, 10],
        "output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
        "middle": 10,
    },
}
CONTEXT_WIDTHS = {"sd1": 768, "sd2": 1024, "sdxl": 2048}
KEY = "small_sizes"
FEW_LAYERS = {"num_hidden_layers": 3, "intermediate_size": 64}
"""Of the text encoders of SDXL and SD 2.x: whole they are 3.3 and 1.4 GB in float32."""
ENCODERS = {"sd1": {"l": {}}, "sd2": {"h": FEW_LAYERS}, "sdxl": {"l": FEW_LAYERS, "g": FEW_LAYERS}}
ENCODERS |= {"sd1_quick": {"l": FEW_LAYERS}, "sd1_full": {"l": FEW_LAYERS}}
"""Checkpoint -> its text encoders, and what differs from the host's own configuration."""
TEXT_PREFIXES = {
    "sd1_quick": "cond_stage_model",
    "sd1_full": "cond_stage_model",
    "sd2": "cond_stage_model.model",
    "sdxl": "conditioner.embedders.1.model",
}
ALL_BLOCKS = {
    "num_res_blocks": [2] * 4,
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1] * 6 + [0] * 2,
    "transformer_depth_output": [1] * 9 + [0] * 3,
}
"""Of the U-Net of SD 1.x and SD 2.x."""
NARROW = {
    "sd1_full": ALL_BLOCKS | {"model_channels": 64, "channel_mult": [1] * 4},
    "sdxl": {"model_channels": 64, "num_head_channels": 32},
}
"""Checkpoint -> what differs in its U-Net from ``unet_config`` of its family."""


def unet_config(family: str) -> dict:
    blocks = BLOCKS[family]
    return {
        "image_size": 32,
        "in_channels": 4,
        "out_channels": 4,
        "model_channels": 320,
        "num_res_blocks": blocks["num_res_blocks"],
        "channel_mult": [1] * len(blocks["num_res_blocks"]),
        "transformer_depth": blocks["depth"],
        "transformer_depth_output": blocks["output"],
        "transformer_depth_middle": blocks["middle"],
        "context_dim": CONTEXT_WIDTHS[family],
        "use_linear_in_transformer": family != "sd1",
        "use_spatial_transformer": True,
        "legacy": False,
        "num_classes": "sequential" if family == "sdxl" else None,
        "adm_in_channels": 2816 if family == "sdxl" else None,
        "dtype": torch.float32,
        **({"num_heads": 8} if family == "sd1" else {"num_head_channels": 64}),
    }


def random_weights(module: torch.nn.Module, seed: int) -> dict[str, torch.Tensor]:
    """Weights that keep activations near unit size: norms the identity, other matrices scaled by their fan-in."""
    return random_tensors({name: parameter.shape for name, parameter in module.state_dict().items()}, seed)


def random_tensors(shapes: Mapping[str, Sequence[int]], seed: int) -> dict[str, torch.Tensor]:
    """The same for a network's parameters by their shapes."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes.items():
        if len(shape) < 2:
            one = "norm" in name or name.endswith(("in_layers.0.weight", "out_layers.0.weight", "out.0.weight"))
            weights[name] = torch.full(shape, 1.0 if one and name.endswith("weight") else 0.0)
        else:
            fan_in = 1.0 if "embedding" in name else math.prod(shape[1:]) ** -0.5
            weights[name] = torch.randn(shape, generator=generator) * fan_in
    return weights


def text_encoder_weights(name: str, comfy_folder: Path) -> dict[str, torch.Tensor]:
    import comfy.clip_model
    import comfy.ops

    files = {"l": "sd1_clip_config.json", "g": "clip_config_bigg.json", "h": "text_encoders/sd2_clip_config.json"}
    weights = {}
    for seed, (encoder, narrow) in enumerate(ENCODERS[name].items()):
        config = json.loads((comfy_folder / "comfy" / files[encoder]).read_text()) | narrow
        model = comfy.clip_model.CLIPTextModel(config, torch.float32, "meta", comfy.ops.disable_weight_init)
        part = random_weights(model, 100 + seed)
        weights |= {f"clip_{encoder}.transformer.{key}": tensor for key, tensor in part.items()}
    return weights


def checkpoint(name: str, comfy_folder: Path) -> dict[str, torch.Tensor]:
    import comfy.ldm.modules.diffusionmodules.openaimodel as openaimodel
    import comfy.ops
    import comfy.supported_models as kinds
    import comfy.taesd.taesd

    family = name.partition("_")[0]
    config = unet_config(family) | NARROW.get(name, {})
    unet = openaimodel.UNetModel(**config, device="meta", operations=comfy.ops.disable_weight_init)
    weights = {f"model.diffusion_model.{key}": tensor for key, tensor in random_weights(unet, 0).items()}
    kind = {"sd1": kinds.SD15, "sd2": kinds.SD20, "sdxl": kinds.SDXL}[family]
    weights |= kind({}).process_clip_state_dict_for_saving(text_encoder_weights(name, comfy_folder))
    first_stage = random_weights(comfy.taesd.taesd.TAESD(latent_channels=4), 7)
    first_stage |= {"vae_scale": torch.tensor(1.0), "vae_shift": torch.tensor(0.0)}
    weights |= {f"first_stage_model.{key}": tensor for key, tensor in first_stage.items()}
    return {key: tensor.half().contiguous() for key, tensor in weights.items()} | notes(name)


def notes(checkpoint: str) -> dict[str, torch.Tensor]:
    """What the file says of its sizes, where the host's loader finds it: beside the U-Net and a text encoder."""
    told = {}
    if checkpoint in NARROW:
        sizes = unet_config(checkpoint.partition("_")[0]) | NARROW[checkpoint]
        told[f"model.diffusion_model.{KEY}"] = note(sizes, {"input_blocks.0.0.weight": (320, 4, 3, 3)}, {})
    sizes = {f"clip_{name}_model_config": narrow for name, narrow in ENCODERS[checkpoint].items() if narrow}
    if sizes:
        told[f"{TEXT_PREFIXES[checkpoint]}.{KEY}"] = note(sizes, {}, {})
    return told


def note(sizes: dict, shown: dict, parts: dict, words: dict | None = None) -> torch.Tensor:
    """What a small file says of itself."""
    sizes = {name: size for name, size in sizes.items() if not isinstance(size, torch.dtype)}
    told = json.dumps({"sizes": sizes, "shown": shown, "parts": parts, "words": words or {}})
    return torch.frombuffer(bytearray(told.encode()), dtype=torch.uint8)


def controlnet() -> dict[str, torch.Tensor]:
    """A ControlNet for the SD 1.x checkpoint."""
    import comfy.cldm.cldm
    import comfy.ops

    config = {name: value for name, value in unet_config("sd1").items() if name not in ("out_channels", "legacy")}
    del config["transformer_depth_output"]
    network = comfy.cldm.cldm.ControlNet(
        **config, hint_channels=3, legacy=False, device="meta", operations=comfy.ops.disable_weight_init
    )
    return {name: tensor.half().contiguous() for name, tensor in random_weights(network, 9).items()}


def main(comfyui: str, name: str, file: str) -> None:
    sys.path.insert(0, comfyui)
    from comfy.cli_args import args

    args.cpu = True
    torch.manual_seed(0)
    save_file(controlnet() if name == "controlnet" else checkpoint(name, Path(comfyui)), file)


if __name__ == "__main__":
    main(*sys.argv[1:])
