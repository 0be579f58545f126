"""For the host tests only: ComfyUI's own loaders take small files for the models whose layout they have.

The host knows some models by their true widths, and has other sizes as constants. A small file says both itself, in
one tensor: the true shapes that detection is to see, and the sizes that replace constants. All else is the host's.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comfy.model_detection
import comfy.model_management
import comfy.sd
import comfy.utils
import torch
from comfy.audio_encoders import audio_encoders

NODE_CLASS_MAPPINGS: dict[str, type] = {}
KEY = "small_sizes"
"""Name of the tensor: JSON as bytes, ``shown`` (key -> true shape), ``sizes`` (name -> size) and ``parts``, what the
host builds with constants inside (module and class -> its arguments), and ``words``, Llama's tokenizer."""
TEXT_KEYS = tuple(f"clip_{name}.{KEY}" for name in "lgh")
"""Its name among the weights of text encoders inside a checkpoint, as the host sorts them."""


def _of(state_dict: dict, prefix: str = "") -> dict[str, Any]:
    """What a file says of itself; nothing for a file of true size."""
    told = next((tensor for name, tensor in state_dict.items() if name in (prefix + KEY, *TEXT_KEYS)), None)
    return {"shown": {}, "sizes": {}, "parts": {}} if told is None else json.loads(bytes(told.tolist()))


def _as_shown(state_dict: dict, prefix: str = "") -> dict:
    shapes = _of(state_dict, prefix)["shown"].items()
    return {**state_dict, **{prefix + name: torch.empty(shape, device="meta") for name, shape in shapes}}


def narrow(parts: dict[str, dict[str, Any]]) -> None:
    """Let the host build ``parts`` with these arguments, whatever it passes; a table of its has these entries."""
    for path, sizes in parts.items():
        module, name = path.rsplit(".", 1)
        module = _module(module)
        whole = getattr(module, name)
        if isinstance(whole, dict):
            whole |= sizes
        elif getattr(whole, "narrow_sizes", None) != sizes:
            setattr(module, name, _narrowed(getattr(whole, "true_size", whole), sizes))


def _module(name: str):
    """A module of the host, which loads those of its extra nodes under names of their own."""
    file = str(Path(*name.split(".")).with_suffix(".py"))
    loaded = (module for module in list(sys.modules.values()) if str(vars(module).get("__file__")).endswith(file))
    return sys.modules.get(name) or next(loaded, None) or importlib.import_module(name)


def _narrowed(whole: type, sizes: dict[str, Any]) -> type:
    """A class of the host's, so that it knows its own again."""

    names = list(inspect.signature(whole).parameters)

    def init(self, *args, **kwargs):
        whole.__init__(self, **{**dict(zip(names, args, strict=False)), **kwargs, **sizes})

    return type(whole.__name__, (whole,), {"__init__": init, "true_size": whole, "narrow_sizes": sizes})


def _network(original):
    def detect(state_dict, key_prefix, metadata=None):
        narrow(_of(state_dict, key_prefix)["parts"])
        found = original(_as_shown(state_dict, key_prefix), key_prefix, metadata)
        return found and found | {KEY: _of(state_dict, key_prefix)["sizes"]}

    return detect


def _diffusers_network(original):
    def detect(state_dict, *args):
        found = original(_as_shown(state_dict), *args)
        return found and found | {KEY: _of(state_dict)["sizes"]}

    return detect


def _config(original):
    def made(unet_config, *args, **kwargs):
        sizes = unet_config.pop(KEY, {})
        config = original(unet_config, *args, **kwargs)
        if config is not None:
            config.unet_config.update(sizes)
        return config

    return made


def _encoder(original):
    return lambda state_dict: original(_as_shown(state_dict))


def _spell(words: dict[str, Any]) -> None:
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from builders.small_vocabularies import read_instead_of_llama

    read_instead_of_llama(words)


def _clip(original):
    def init(self, *args, state_dict=(), model_options=None, **kwargs):
        parts = [state_dict] if isinstance(state_dict, dict) else state_dict
        told = [_of(part) for part in parts]
        for each in told:
            narrow(each["parts"])
            if each.get("words"):
                _spell(each["words"])
        sizes = {name: size for each in told for name, size in each["sizes"].items()}
        original(self, *args, state_dict=state_dict, model_options={**(model_options or {}), **sizes}, **kwargs)

    return init


def _read(original):
    """A file that tells of parts alone is of a network beside the model, whose loader takes its own names only."""

    def read(*args, **kwargs):
        loaded = original(*args, **kwargs)
        weights = loaded[0] if isinstance(loaded, tuple) else loaded
        told = _of(weights)
        if KEY in weights and not told["sizes"] and not told["shown"]:
            narrow(told["parts"])
            del weights[KEY]
        return loaded

    return read


def _sound(original):
    """An audio encoder is told by a width that it shows, and gets its own weights."""

    class Shown(audio_encoders.AudioEncoderModel):
        def load_sd(self, weights: dict):
            return super().load_sd({name: self.hidden.get(name, tensor) for name, tensor in weights.items()})

    def load(state_dict, *args):
        told = _of(state_dict)
        narrow(told["parts"])
        Shown.hidden = {name: state_dict[name] for name in told["shown"]}
        audio_encoders.AudioEncoderModel = Shown
        return original({name: t for name, t in _as_shown(state_dict).items() if name != KEY}, *args)

    return load


comfy.model_detection.detect_unet_config = _network(comfy.model_detection.detect_unet_config)
comfy.model_detection.model_config_from_unet_config = _config(comfy.model_detection.model_config_from_unet_config)
comfy.model_detection.unet_config_from_diffusers_unet = _diffusers_network(
    comfy.model_detection.unet_config_from_diffusers_unet
)
comfy.utils.load_torch_file = _read(comfy.utils.load_torch_file)
comfy.sd.detect_te_model = _encoder(comfy.sd.detect_te_model)
comfy.sd.CLIP.__init__ = _clip(comfy.sd.CLIP.__init__)
audio_encoders.load_audio_encoder_from_sd = _sound(audio_encoders.load_audio_encoder_from_sd)


LONGEST = 64
"""Pixels of a picture's longer side, for nodes that bring every picture to a megapixel: minutes on a processor."""
MEGAPIXELS = ("TextEncodeQwenImageEdit", "TextEncodeQwenImageEditPlus")


def _scaled(samples, width: int, height: int, *how):
    share = min(1.0, LONGEST / max(width, height))
    sides = (max(8, round(side * share / 8) * 8) for side in (width, height))
    return comfy.utils.common_upscale(samples, *sides, *how)


# A server has its nodes by now; the maker of small files has none.
for kind in filter(None, map(getattr(sys.modules.get("nodes"), "NODE_CLASS_MAPPINGS", {}).get, MEGAPIXELS)):
    scaling = SimpleNamespace(utils=SimpleNamespace(common_upscale=_scaled), model_management=comfy.model_management)
    kind.execute.__func__.__globals__["comfy"] = scaling
