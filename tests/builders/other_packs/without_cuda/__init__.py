"""A custom node folder without nodes: packs that ask for CUDA whatever there is compute on the processor."""

import sys
from functools import wraps
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec

import torch
from torch.nn import functional

MAKERS = ("arange", "empty", "full", "linspace", "ones", "rand", "randn", "tensor", "zeros")


def _here(value):
    """A device that is asked for, or the processor in place of CUDA."""
    asked = str(value) if isinstance(value, (str, torch.device)) else ""
    return torch.device("cpu") if asked.partition(":")[0] == "cuda" else value


def _made_here(function):
    @wraps(function)
    def make(*args, **settings):
        return function(*map(_here, args), **{name: _here(value) for name, value in settings.items()})

    return make


def sageattn(q, k, v, is_causal=False, attn_mask=None, tensor_layout="HND"):
    """As the package sageattention computes it, exactly."""
    heads = (t.transpose(1, 2) if tensor_layout == "NHD" else t for t in (q, k, v))
    out = functional.scaled_dot_product_attention(*heads, attn_mask=attn_mask, is_causal=is_causal)
    return out.transpose(1, 2) if tensor_layout == "NHD" else out


if not torch.cuda.is_available():
    torch.Tensor.cuda = lambda tensor, *_args, **_settings: tensor
    torch.Tensor.to = _made_here(torch.Tensor.to)
    torch.nn.Module.to = _made_here(torch.nn.Module.to)
    for name in MAKERS:
        setattr(torch, name, _made_here(getattr(torch, name)))
    # With a spec, without which other packages that look for this one fail.
    sys.modules["sageattention"] = module_from_spec(ModuleSpec("sageattention", loader=None))
    sys.modules["sageattention"].sageattn = sageattn

NODE_CLASS_MAPPINGS: dict[str, type] = {}
