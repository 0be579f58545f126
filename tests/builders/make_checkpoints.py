"""Write small random checkpoints that the host's own loader takes for SD 1.x, SD 2.x and SDXL.

Run as ``python make_checkpoints.py COMFYUI FAMILY FILE`` in its own process: it imports the host. FAMILY may be
``controlnet``, for SD 1.x.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

BLOCKS = {
    "sd1": {"num_res_blocks": [1, 1], "depth": [1, 1], "output": [1, 1, 1, 1], "middle": 1},
    "sd2": {"num_res_blocks": [1, 1], "depth": [1, 1], "output": [1, 1, 1, 1], "middle": 1},
    # SDXL is known by its depths; its levels keep 320 channels here.
    "sdxl": {
        "num_res_blocks": [2, 2, 2],
        "depth": [0, 0, 2, 2, 10, 10],
        "output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
        "middle": 10,
    },
}
CONTEXT_WIDTHS = {"sd1": 768, "sd2": 1024, "sdxl": 2048}


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
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, parameter in module.state_dict().items():
        if parameter.ndim < 2:
            one = "norm" in name or name.endswith(("in_layers.0.weight", "out_layers.0.weight", "out.0.weight"))
            fill = 1.0 if one and name.endswith("weight") else 0.0
            weights[name] = torch.full(parameter.shape, fill)
        else:
            fan_in = 1.0 if "embedding" in name else parameter[0].numel() ** -0.5
            weights[name] = torch.randn(parameter.shape, generator=generator) * fan_in
    return weights


def text_encoder_weights(family: str, comfy_folder: Path) -> dict[str, torch.Tensor]:
    import comfy.clip_model
    import comfy.ops

    files = {"l": "sd1_clip_config.json", "g": "clip_config_bigg.json", "h": "text_encoders/sd2_clip_config.json"}
    weights = {}
    for seed, name in enumerate({"sd1": "l", "sd2": "h", "sdxl": "lg"}[family]):
        config = json.loads((comfy_folder / "comfy" / files[name]).read_text())
        model = comfy.clip_model.CLIPTextModel(config, torch.float32, "meta", comfy.ops.disable_weight_init)
        part = random_weights(model, 100 + seed)
        weights |= {f"clip_{name}.transformer.{key}": tensor for key, tensor in part.items()}
    return weights


def checkpoint(family: str, comfy_folder: Path) -> dict[str, torch.Tensor]:
    import comfy.ldm.modules.diffusionmodules.openaimodel as openaimodel
    import comfy.ops
    import comfy.supported_models as kinds
    import comfy.taesd.taesd

    unet = openaimodel.UNetModel(**unet_config(family), device="meta", operations=comfy.ops.disable_weight_init)
    weights = {f"model.diffusion_model.{name}": tensor for name, tensor in random_weights(unet, 0).items()}
    kind = {"sd1": kinds.SD15, "sd2": kinds.SD20, "sdxl": kinds.SDXL}[family]
    weights |= kind({}).process_clip_state_dict_for_saving(text_encoder_weights(family, comfy_folder))
    first_stage = random_weights(comfy.taesd.taesd.TAESD(latent_channels=4), 7)
    first_stage |= {"vae_scale": torch.tensor(1.0), "vae_shift": torch.tensor(0.0)}
    weights |= {f"first_stage_model.{name}": tensor for name, tensor in first_stage.items()}
    return {name: tensor.half().contiguous() for name, tensor in weights.items()}


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


def main(comfyui: str, family: str, file: str) -> None:
    sys.path.insert(0, comfyui)
    from comfy.cli_args import args

    args.cpu = True
    torch.manual_seed(0)
    save_file(controlnet() if family == "controlnet" else checkpoint(family, Path(comfyui)), file)


if __name__ == "__main__":
    main(*sys.argv[1:])
