"""Small models of Wan that read pictures, films or sounds beside the prompt, of the host's own classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import torch

from .cross_models import CROSS, Facts

FRAMES = 2
LATENT = (1, 16, FRAMES, 8, 8)
"""A film of five frames."""


def noise(*shape: int, seed: int = 4) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def film(channels: int = 16, frames: int = FRAMES, side: int = 8) -> torch.Tensor:
    """A latent, or what else is told of every frame."""
    return noise(1, channels, frames, side, side)


def seen(tokens: int = 257):
    """What CLIP Vision Encode gives of a picture."""
    return SimpleNamespace(penultimate_hidden_states=noise(1, tokens, 1280))


def _narrow_sounds(net, operations) -> None:
    from comfy.ldm.wan.model import AudioProjModel

    sizes = {"seq_len": 2, "blocks": 2, "channels": 4, "intermediate_dim": 8, "output_dim": 1536, "context_tokens": 16}
    net.audio_proj = AudioProjModel(**sizes, dtype=torch.float32, operations=operations)


def _no_faces(net, _operations) -> None:
    """Those of a driving film, read behind the text by layers of their own, of which a network of two blocks has none.
    """
    net.motion_encoder = torch.nn.Identity()


@dataclass(frozen=True)
class Kind:
    """One of them."""

    config: str
    """Name of the host's class."""
    sizes: dict
    """What it changes in the text model's."""
    entries: Callable[[], dict]
    """What the host's nodes put into its conditionings."""
    before: int = 0
    """Of what its layers read, how many places stand before the film's."""
    behind: int = 0
    narrow: Callable = lambda net, operations: None


_PICTURE = {"model_type": "i2v", "in_dim": 36}
_SOUND = {"audio_dim": 8, "num_audio_token": 4, "audio_inject_layers": [0]}
KINDS = {
    "2.1 from a picture": Kind(
        "WAN21_I2V", _PICTURE, lambda: {"concat_latent_image": film(), "clip_vision_output": seen()}
    ),
    "2.1 from a picture that CLIP has not seen": Kind(
        "WAN21_I2V", _PICTURE, lambda: {"concat_latent_image": film()}
    ),
    "2.1 from two pictures": Kind(
        *("WAN21_I2V", _PICTURE | {"flf_pos_embed_token_number": 514}),
        lambda: {"concat_latent_image": film(), "clip_vision_output": seen(514)},
    ),
    "2.2 from a picture": Kind("WAN21_T2V", {"in_dim": 36}, lambda: {"concat_latent_image": film()}),
    "Fun Control 2.1": Kind(
        *("WAN21_FunControl2V", {"model_type": "i2v", "in_dim": 48, "in_dim_ref_conv": 16}),
        lambda: {"concat_latent_image": film(32), "reference_latents": [film(frames=1)], "clip_vision_output": seen()},
        before=16,
    ),
    "Fun Control 2.2": Kind(
        *("WAN21_T2V", {"in_dim": 52, "in_dim_ref_conv": 16}),
        lambda: {"concat_latent_image": film(32), "reference_latents": [film(frames=1)]},
        before=16,
    ),
    "Fun Camera 2.1": Kind(
        *("WAN21_Camera", {"model_type": "camera", "in_dim": 32}),
        lambda: {"camera_conditions": film(24, side=64), "clip_vision_output": seen()},
    ),
    "Fun Camera 2.2": Kind(
        *("WAN22_Camera", {"model_type": "camera_2.2", "in_dim": 36}),
        lambda: {"camera_conditions": film(24, side=64)},
    ),
    "VACE": Kind(
        *("WAN21_Vace", {"model_type": "vace", "vace_layers": 2, "vace_in_dim": 96}),
        lambda: {"vace_frames": [film(32)], "vace_mask": [torch.ones(1, 64, FRAMES, 8, 8)]},
    ),
    "Animate": Kind(
        *("WAN22_Animate", {"model_type": "animate", "in_dim": 36}),
        lambda: {
            **{"concat_latent_image": film(), "clip_vision_output": seen()},
            **{"pose_video_latent": film(frames=1), "concat_mask": torch.ones(1, 4, FRAMES, 8, 8)},
        },
        narrow=_no_faces,
    ),
    "S2V": Kind(
        *("WAN22_S2V", {"model_type": "s2v", **_SOUND}),
        lambda: {
            **{"audio_embed": noise(1, 25, 8, 4 * FRAMES), "control_video": film()},
            **{"reference_latents": [film(frames=1)], "reference_motion": film(frames=3)},
        },
        # The reference, then the last frames of the film before, in three sizes.
        behind=16 + 16 + 4 + 4,
    ),
    "HuMo": Kind(
        *("WAN21_HuMo", {"model_type": "humo"}),
        lambda: {"audio_embed": noise(1, FRAMES, 2, 2, 4), "reference_latents": [film(frames=1)]},
        behind=16,
        narrow=_narrow_sounds,
    ),
    "SCAIL": Kind(
        *("WAN21_SCAIL", {"model_type": "scail", "in_dim": 20}),
        lambda: {
            **{"reference_latents": [film(frames=1), film(frames=1)], "clip_vision_output": seen()},
            **{"pose_video_latent": film(side=4)},
        },
        before=32,
        behind=4 * FRAMES,
    ),
    "SCAIL 2": Kind(
        *("WAN21_SCAIL2", {"model_type": "scail2", "in_dim": 20}),
        lambda: {
            **{"reference_latents": [film(frames=1)], "clip_vision_output": seen(), "pose_video_latent": film(side=4)},
            **{"driving_mask_28ch": noise(1, FRAMES, 28, 4, 4), "ref_mask_28ch": noise(1, FRAMES + 1, 28, 8, 8)},
        },
        before=16,
        behind=4 * FRAMES,
    ),
    "Dancer": Kind(
        *("WAN22_WanDancer", {"model_type": "wandancer", "in_dim": 36, "audio_inject_layers": [0]}),
        lambda: {
            **{"concat_latent_image": film(), "clip_vision_output": seen(), "clip_vision_output_ref": seen()},
            "audio_embed": noise(1, 4, 35),
        },
    ),
}
FILES = {
    **{"wan21_picture": "2.1 from a picture", "wan21_two_pictures": "2.1 from two pictures"},
    **{"wan21_later_picture": "2.2 from a picture", "wan21_control": "Fun Control 2.1", "wan21_vace": "VACE"},
    **{"wan21_camera": "Fun Camera 2.1", "wan21_later_camera": "Fun Camera 2.2", "wan21_humo": "HuMo"},
    **{"wan21_s2v": "S2V", "wan21_scail": "SCAIL 2", "wan21_dancer": "Dancer"},
}
"""Name of a small file -> which of them it holds."""


def facts_of(kind: str) -> Facts:
    """What is particular to a small model of it, beside the text model."""
    found, text = KINDS[kind], CROSS["wan21"]
    return dataclasses.replace(text, config=found.config, unet=text.unet | found.sizes, narrow=found.narrow)
