"""Small random files of the networks that hear a sound before a model draws, and of what brings it into its blocks."""

from __future__ import annotations

import torch

from .cross_models import CROSS
from .joint_models import randomize
from .make_checkpoints import KEY, note

SOUND_WIDTH = 8
"""Numbers of the small audio encoders for each moment."""
_HEARD = "comfy.audio_encoders.audio_encoders"
_NORM = "encoder.layer_norm.bias"
_WAN = CROSS["wan21"].unet
_TALK = "comfy.ldm.wan.model_multitalk"


def _weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    randomize(network)
    return {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}


def _made(parts: dict[str, dict], build) -> dict[str, torch.Tensor]:
    """The weights of what the host builds when ``parts`` of it are small."""
    from . import small_sizes

    small_sizes.narrow(parts)
    return _weights(build())


def _how() -> dict:
    import comfy.ops

    return {"device": "cpu", "dtype": torch.float32, "operations": comfy.ops.disable_weight_init}


def whisper() -> dict[str, torch.Tensor]:
    """Whisper large v3: all its 32 layers, narrow."""
    from comfy.audio_encoders import audio_encoders

    parts = {f"{_HEARD}.WhisperLargeV3": {"n_audio_state": SOUND_WIDTH, "n_audio_head": 2}}
    weights = _made(parts, lambda: audio_encoders.WhisperLargeV3(**_how()))
    encoder = {f"model.{name}": tensor for name, tensor in weights.items() if name.startswith("encoder.")}
    return {**encoder, KEY: note({}, {}, parts)}


def wav2vec2(width: int, layers: int) -> dict[str, torch.Tensor]:
    """Wav2vec 2 of so many ``layers``, narrow; the host knows it by its true ``width``."""
    from comfy.audio_encoders import audio_encoders

    large = width == 1024
    parts = {
        f"{_HEARD}.Wav2Vec2Model": {"embed_dim": SOUND_WIDTH, "num_heads": 2},
        "comfy.audio_encoders.wav2vec2.PositionalConvEmbedding": {"groups": SOUND_WIDTH},
    }
    how = {"num_layers": layers, "conv_norm": large, "conv_bias": large, "do_stable_layer_norm": large}
    weights = _made(parts, lambda: audio_encoders.Wav2Vec2Model(**how, **_how()))
    return {**weights, KEY: note({}, {_NORM: (width,)}, parts)}


def infinitetalk() -> dict[str, torch.Tensor]:
    """InfiniteTalk's patch for two speakers: attention to their sounds in every block of the small Wan."""
    from comfy_extras import nodes_model_patch

    patch = "comfy_extras.nodes_model_patch.MultiTalkModelPatch"
    parts = {
        f"{_TALK}.SingleStreamMultiAttention": {"num_heads": _WAN["num_heads"]},
        "comfy_extras.nodes_model_patch.MultiTalkAudioProjModel": {"channels": SOUND_WIDTH},
        patch: {"num_layers": _WAN["num_layers"]},
    }
    sizes = {"in_dim": _WAN["dim"], "intermediate_dim": 32, "out_dim": 24}
    weights = _made(parts, lambda: nodes_model_patch.MultiTalkModelPatch(**sizes, **_how()))
    return {**weights, KEY: note({}, {}, parts)}


SOUNDS = {
    "audio_encoders/whisper": whisper,
    "audio_encoders/wav2vec2_large": lambda: wav2vec2(1024, 24),
    "audio_encoders/wav2vec2_base": lambda: wav2vec2(768, 12),
    "model_patches/infinitetalk": infinitetalk,
}
"""Folder and kind -> its weights."""
