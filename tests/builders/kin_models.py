"""Small models of relatives: of a supported family's network, and yet another model with a text encoder of its own."""

from __future__ import annotations

from collections.abc import Callable

import torch

from .joint_models import CLIPS, JOINT, WIDTH, Facts, host_clip, joint_clip
from .small_vocabularies import pieces

_FLUX = JOINT["flux1"].unet | {"guidance_embed": False, "vec_in_dim": None, "txt_ids_dims": [1, 2]}
_NERF = {"nerf_hidden_size": 16, "nerf_mlp_ratio": 2, "nerf_depth": 2, "nerf_max_freqs": 4, "nerf_tile_size": 512}
_NERF |= {"nerf_final_head_type": "conv", "nerf_embedder_dtype": torch.float32, "use_sequential_txt_ids": False}
_PIXELS = {"in_channels": 3, "patch_size": 4, "use_x0": True}
_DECODER = {"decoder_in_channels": 48, "decoder_hidden_size": 32, "decoder_num_res_blocks": 2, "decoder_max_freqs": 4}
KIN = {
    "ovis": Facts("FluxSchnell", _FLUX | {"yak_mlp": True, "txt_norm": True}),
    "longcat": Facts("LongCatImage", _FLUX),
    "newbie": Facts(
        "Lumina2", JOINT["lumina2"].unet | {"clip_text_dim": 24, "cap_feat_dim": 24}, layers=3, pooled=24, context=24
    ),
    "chroma_radiance": Facts(
        "ChromaRadiance",
        {**JOINT["chroma"].unet, **_PIXELS, **_NERF, "image_model": "chroma_radiance", "out_channels": 3},
        latent=(3, 16, 16),
    ),
    "zimage_pixel": Facts(
        "ZImagePixelSpace",
        {**JOINT["zimage"].unet, **_PIXELS, **_DECODER, "image_model": "zimage_pixel"},
        latent=(3, 16, 16),
        layers=3,
    ),
}
"""Family -> a small model of it."""
_QWEN = {"hidden_size": WIDTH, "intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1}
_QWEN |= {"num_hidden_layers": 2}
# The host gives both of NewBie's text encoders their sizes under no name.
NEWBIE = {"hidden_size": 24, "intermediate_size": 48, "num_attention_heads": 4, "num_hidden_layers": 3}
NEWBIE |= {"vocab_size": 800}


def _newbie_clip():
    words = pieces(pad_id=0, eos_id=1, bos_id=2, unk_id=3)
    names = {"gemma_spiece_model": words, "jina_spiece_model": words}
    return host_clip("newbie", "NewBieTokenizer", "te", {"_model_config": NEWBIE}, **names)


KIN_CLIPS: dict[str, Callable] = {
    "ovis": lambda: host_clip("ovis", "OvisTokenizer", "te", {"qwen3_2b_model_config": _QWEN}),
    "longcat": lambda: host_clip("longcat_image", "LongCatImageTokenizer", "te", {"qwen25_7b_model_config": _QWEN}),
    "newbie": _newbie_clip,
    "chroma_radiance": lambda: host_clip(
        "pixart_t5", "PixArtTokenizer", "pixart_te", {"t5xxl_model_config": CLIPS["flux1"][3]["t5xxl_model_config"]}
    ),
    "zimage_pixel": lambda: joint_clip("zimage"),
}
"""Family -> a small CLIP of it."""


def _unet(config: str, context: int, adm: int | None, depths: tuple[list[int], list[int], int], **changes) -> Facts:
    """A small U-Net. ``depths``: transformers in each block on its way down, on its way up, and in the middle."""
    down, up, middle = depths
    # On its way up, a level has one block more than on its way down.
    levels = len(up) - len(down)
    sizes = {"model_channels": 64, "channel_mult": [1, 2, 2][:levels]}
    sizes |= {"num_res_blocks": [len(down) // levels] * levels}
    sizes |= {"transformer_depth": down, "transformer_depth_output": up, "transformer_depth_middle": middle}
    sizes |= {"image_size": 32, "in_channels": 4, "out_channels": 4, "context_dim": context, "adm_in_channels": adm}
    sizes |= {"use_spatial_transformer": True, "use_linear_in_transformer": config != "SD15_instructpix2pix"}
    sizes |= {"legacy": False, "num_classes": None if adm is None else "sequential", "num_head_channels": 64}
    pooled = 1280 if adm == SDXL_ADM else None
    return Facts(config, sizes | changes, latent=(4, 8, 8), pooled=pooled, context=context)


SDXL_ADM = 2816
_SHALLOW = [0, 1], [0, 0, 1, 1], 1
_KOALA = [0, 1, 2], [0, 0, 1, 1, 2, 2]
UNET_KIN = {
    "SD15_instructpix2pix": _unet("SD15_instructpix2pix", 64, None, _SHALLOW, in_channels=8),
    "SD21UnclipL": _unet("SD21UnclipL", 64, 1536, _SHALLOW),
    "SD21UnclipH": _unet("SD21UnclipH", 64, 2048, _SHALLOW),
    "SDXL_instructpix2pix": _unet("SDXL_instructpix2pix", 64, SDXL_ADM, _SHALLOW, in_channels=8),
    "SSD1B": _unet("SSD1B", 64, SDXL_ADM, ([0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 2, 3, 2, 2], -1)),
    "Segmind_Vega": _unet("Segmind_Vega", 64, SDXL_ADM, ([0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 1, 2, 2, 2], -1)),
    "KOALA_700M": _unet("KOALA_700M", 64, SDXL_ADM, (*_KOALA, -2)),
    "KOALA_1B": _unet("KOALA_1B", 64, SDXL_ADM, (*_KOALA, 2)),
}
"""The host's class -> a small model of it."""
