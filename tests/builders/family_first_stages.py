"""Small first stages of today's models, in the layouts that the host's VAE loader takes."""

from __future__ import annotations

import torch

from .joint_models import randomize


def first_stage(kind: str) -> dict[str, torch.Tensor]:
    """Weights of a VAE: Flux's and Flux.2's with a narrow decoder, Wan's narrow, for Wan 2.2 the class of previews."""
    import comfy.ldm.wan.vae
    import comfy.taesd.taehv
    import comfy.taesd.taesd

    if kind == "wan21":
        sizes = {"dim_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_scales": []}
        sizes |= {"temperal_downsample": [False, True, True], "dropout": 0.0}
        model = comfy.ldm.wan.vae.WanVAE(dim=8, z_dim=16, image_channels=3, conv_out_channels=3, **sizes)
    elif kind == "sd":
        model = comfy.taesd.taesd.TAESD(latent_channels=4)
    elif kind == "wan22":
        model = comfy.taesd.taehv.TAEHV(latent_channels=48)
    else:
        model = _autoencoder(16 if kind == "ae" else 32, normed=kind == "flux2")
    randomize(model)
    # bfloat16, not float16: the host takes a tiny VAE in float16 for another model's.
    return {
        name: (tensor.bfloat16() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in model.state_dict().items()
    }


def _autoencoder(channels: int, normed: bool) -> torch.nn.Module:
    from comfy.ldm.models.autoencoder import AutoencoderKL, AutoencodingEngine

    sizes = {"double_z": True, "z_channels": channels, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 128}
    sizes |= {"ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0}
    narrow = sizes | {"ch": 32}
    if normed:
        sizes["batch_norm_latent"] = True
        return AutoencoderKL(ddconfig=sizes, embed_dim=channels, decoder_ddconfig=narrow | {"batch_norm_latent": True})
    parts = "comfy.ldm.modules.diffusionmodules.model"
    return AutoencodingEngine(
        regularizer_config={"target": "comfy.ldm.models.autoencoder.DiagonalGaussianRegularizer"},
        encoder_config={"target": f"{parts}.Encoder", "params": sizes},
        decoder_config={"target": f"{parts}.Decoder", "params": narrow},
    )
