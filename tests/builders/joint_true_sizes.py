"""The true sizes of models that learn by the position gate, as the host's loader finds them in their checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .cross_models import CROSS
from .cross_models import Facts as CrossFacts
from .joint_models import JOINT
from .joint_models import Facts as JointFacts
from .kin_models import KIN
from .true_sizes import COSMOS

SMALL = JOINT | KIN | CROSS
SMALL |= {"wan22": replace(CROSS["wan21"], config="WAN22_T2V", latent=(48, 1, 4, 4))}
"""Family -> the tests' small model of it."""


@dataclass(frozen=True)
class TrueSize:
    """One model: what its configuration changes in that of the tests' small one of its family."""

    family: str
    title: str
    changes: dict
    tokens: int
    """Of a prompt with what the host puts around it, typical; where there are two texts, of the first."""
    context: int
    pooled: int | None = None
    latent_ratio: int = 8

    @property
    def small(self) -> JointFacts | CrossFacts:
        return SMALL[self.family]

    @property
    def unet(self) -> dict:
        return self.small.unet | self.changes

    @property
    def latent_channels(self) -> int:
        return self.small.latent[0]


_FLUX = {"hidden_size": 3072, "mlp_ratio": 4.0, "num_heads": 24, "depth": 19, "depth_single_blocks": 38}
_FLUX |= {"axes_dim": [16, 56, 56], "context_in_dim": 4096}


def _flux2(title: str, heads: int, double: int, single: int, context: int) -> TrueSize:
    sizes = {"hidden_size": 128 * heads, "num_heads": heads, "depth": double, "depth_single_blocks": single}
    sizes |= {"axes_dim": [32, 32, 32, 32], "mlp_ratio": 3.0, "context_in_dim": context}
    return TrueSize("flux2", title, sizes, 512, context, latent_ratio=16)


_ZIMAGE = {"dim": 3840, "n_layers": 30, "n_refiner_layers": 2, "n_heads": 30, "n_kv_heads": 30, "multiple_of": 256}
_ZIMAGE |= {"axes_dims": [32, 48, 48], "axes_lens": [1536, 512, 512], "ffn_dim_multiplier": 8 / 3, "cap_feat_dim": 2560}
_LUMINA2 = {"dim": 2304, "n_layers": 26, "n_refiner_layers": 2, "n_heads": 24, "n_kv_heads": 8, "multiple_of": 256}
_LUMINA2 |= {"axes_dims": [32, 32, 32], "axes_lens": [300, 512, 512], "ffn_dim_multiplier": 4.0, "cap_feat_dim": 2304}
# NewBie has Lumina 2's widths, more layers and other text encoders: 3.5 billion weights, as its authors say.
_NEWBIE = _LUMINA2 | {"n_layers": 36, "cap_feat_dim": 2560, "clip_text_dim": 1024, "rope_theta": 10000.0}
# The authors give 7 billion for Ovis-Image and 6 for LongCat-Image.
_OVIS = _FLUX | {"depth": 6, "depth_single_blocks": 27, "context_in_dim": 2048}
_LONGCAT = _FLUX | {"depth": 10, "depth_single_blocks": 20, "context_in_dim": 3584}
_CHROMA = _FLUX | {"out_dim": 3072, "hidden_dim": 5120, "n_layers": 5}
_RADIANCE = _CHROMA | {"patch_size": 16, "nerf_hidden_size": 64, "nerf_mlp_ratio": 4, "nerf_depth": 4}
_RADIANCE |= {"nerf_max_freqs": 8, "use_x0": True}
# Those of Zeta-Chroma, the one such model that is published.
_PIXEL = _ZIMAGE | {"patch_size": 32, "decoder_in_channels": 3 * 32**2, "decoder_hidden_size": 3840}
_PIXEL |= {"decoder_num_res_blocks": 4, "decoder_max_freqs": 8}
_WAN_SMALL = {"dim": 1536, "ffn_dim": 8960, "num_heads": 12, "num_layers": 30, "text_dim": 4096, "freq_dim": 256}
_WAN_LARGE = _WAN_SMALL | {"dim": 5120, "ffn_dim": 13824, "num_heads": 40, "num_layers": 40}
_WAN22 = _WAN_SMALL | {"dim": 3072, "ffn_dim": 14336, "num_heads": 24, "in_dim": 48, "out_dim": 48}
# As its authors configure it.
_COSMOS_LARGE = COSMOS | {"model_channels": 5120, "num_blocks": 36, "num_heads": 40}
_QWEN = {"num_layers": 60, "attention_head_dim": 128, "num_attention_heads": 24, "joint_attention_dim": 3584}
_PIXART = {"hidden_size": 1152, "num_heads": 16, "depth": 28, "mlp_ratio": 4.0, "caption_channels": 4096}
_PIXART |= {"pe_interpolation": None}
_HUNYUAN = {"depth": 40, "hidden_size": 1408, "num_heads": 16, "mlp_ratio": 4.3637}
_HUNYUAN |= {"text_states_dim": 1024, "text_states_dim_t5": 2048}
_HIDREAM = {"num_layers": 16, "num_single_layers": 32, "attention_head_dim": 128, "num_attention_heads": 20}
_HIDREAM |= {"axes_dims_rope": [64, 32, 32], "caption_channels": [4096, 4096], "text_emb_dim": 2048}
_HIDREAM |= {"llama_layers": [*range(32), *[31] * 16]}


def _sd3(title: str, depth: int, places: int, **others) -> TrueSize:
    sizes = {"depth": depth, "num_blocks": depth, "adm_in_channels": 2048, "num_patches": places**2}
    sizes |= {"pos_embed_max_size": places, "x_block_self_attn_layers": [], **others}
    sizes["context_embedder_config"] = {
        "target": "torch.nn.Linear", "params": {"in_features": 4096, "out_features": 64 * depth}
    }  # fmt: skip
    return TrueSize("sd3", title, sizes, 154, 4096, pooled=2048)


TRUE_SIZES = {
    "zimage": TrueSize("zimage", "Z-Image", _ZIMAGE, 32, 2560),
    "lumina2": TrueSize("lumina2", "Lumina 2", _LUMINA2, 64, 2304),
    "flux1": TrueSize("flux1", "Flux.1", _FLUX | {"vec_in_dim": 768}, 256, 4096, pooled=768),
    "chroma": TrueSize("chroma", "Chroma", _CHROMA, 64, 4096),
    "newbie": TrueSize("newbie", "NewBie", _NEWBIE, 64, 2560, pooled=1024),
    "ovis": TrueSize("ovis", "Ovis-Image", _OVIS, 256, 2048),
    "longcat": TrueSize("longcat", "LongCat-Image", _LONGCAT, 512, 3584),
    "chroma_radiance": TrueSize("chroma_radiance", "Chroma Radiance", _RADIANCE, 64, 4096, latent_ratio=1),
    "zimage_pixel": TrueSize("zimage_pixel", "Z-Image in pixel space", _PIXEL, 32, 2560, latent_ratio=1),
    "klein4b": _flux2("Flux.2 Klein 4B", 24, 5, 20, 7680),
    "klein9b": _flux2("Flux.2 Klein 9B", 32, 8, 24, 12288),
    "flux2": _flux2("Flux.2 dev", 48, 8, 48, 15360),
    "anima": TrueSize("anima", "Anima", COSMOS, 512, 1024),
    "cosmos2": TrueSize("cosmos2", "Cosmos-Predict2 2B", COSMOS, 512, 1024),
    "cosmos2_large": TrueSize("cosmos2", "Cosmos-Predict2 14B", _COSMOS_LARGE, 512, 1024),
    "wan_small": TrueSize("wan21", "Wan 2.1 1.3B", _WAN_SMALL, 512, 4096),
    "wan_large": TrueSize("wan21", "Wan 14B, an expert", _WAN_LARGE, 512, 4096),
    "wan22": TrueSize("wan22", "Wan 2.2 5B", _WAN22, 512, 4096, latent_ratio=16),
    "sd3_medium": _sd3("SD 3 medium", 24, 192, qk_norm=None),
    "sd35_medium": _sd3("SD 3.5 medium", 24, 384, x_block_self_attn_layers=list(range(13))),
    "sd35_large": _sd3("SD 3.5 large", 38, 192),
    "pixart_sigma": TrueSize("pixart_sigma", "PixArt Sigma", _PIXART | {"model_max_length": 300}, 32, 4096),
    "hunyuan_dit": TrueSize("hunyuan_dit", "HunyuanDiT 1.2", _HUNYUAN, 77, 1024),
    "hidream": TrueSize("hidream", "HiDream-I1", _HIDREAM, 128, 4096, pooled=2048),
    "qwen_image": TrueSize("qwen_image", "Qwen-Image", _QWEN | {"axes_dims_rope": (16, 56, 56)}, 64, 3584),
}
