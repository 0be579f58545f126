"""Files as two other implementations save them, written for a host's MODEL."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock

import torch
from torch import nn

WIDTH = 768


def spread_covariance(seed: int = 0) -> torch.Tensor:
    """A covariance (768, 768) as uneven as a real encoder's."""
    rotation, _ = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(seed)))
    return (rotation * torch.logspace(0, -3.5, WIDTH)) @ rotation.mT


def perfusion_pytorch_file(path: Path, projections: dict, encodings: torch.Tensor, position: int = 5):
    """Train its modules for one forward, move their outputs and save them by its own code. The modules by layer."""
    from perfusion_pytorch.embedding import EmbeddingWrapper
    from perfusion_pytorch.perfusion import Rank1EditModule
    from perfusion_pytorch.save_load import save

    torch.manual_seed(0)
    covariance, network, found = spread_covariance(), nn.Module(), {}
    network.words = EmbeddingWrapper(nn.Embedding(9, WIDTH))
    network.layers = nn.ModuleList()
    for name, pair in projections.items():
        modules = []
        for is_key, projection in zip((True, False), pair, strict=True):
            linear = nn.Linear(WIDTH, projection.weight.shape[0], bias=False)
            linear.weight = nn.Parameter(projection.weight.detach().float().clone(), requires_grad=False)
            module = Rank1EditModule(linear, C=covariance, is_key_proj=is_key)
            at = torch.full((len(encodings),), position)
            module(encodings, concept_indices=at, text_enc_with_superclass=encodings.roll(1, 0))
            if not is_key:
                module.concept_outputs.data += torch.randn_like(module.concept_outputs)
            modules.append(module.eval())
        network.layers.append(nn.ModuleList(modules))
        found[name] = modules
    save(network, str(path))
    return network.words.concepts.detach()[0], found


def key_locked_content(projections: dict, trained: tuple[int, ...], seed: int = 1) -> SimpleNamespace:
    """What Key-Locked-Rank-One-Editing keeps: one output for each of 77 positions, trained at some of them."""
    generator = torch.Generator().manual_seed(seed)
    prompts = torch.randn(77, WIDTH, generator=generator)
    prompts[list(trained)] = prompts[trained[0]].clone()
    outputs = {}
    for name, (to_k, to_v) in projections.items():
        weights = [projection.weight.detach().float() for projection in (to_k, to_v)]
        keys, values = (prompts @ weight.mT for weight in weights)
        values[list(trained)] += 5 * torch.randn(values.shape[1], generator=generator)
        outputs |= {f"{name}.to_k.target_output": keys, f"{name}.to_v.target_output": values}
    return SimpleNamespace(
        inverse=torch.linalg.inv(spread_covariance(seed)),
        target_input=torch.randn(WIDTH, generator=generator),
        embedding=torch.randn(1, WIDTH, generator=generator),
        outputs=outputs,
    )


def key_locked_file(path: Path, content: SimpleNamespace) -> None:
    """With the kinds of objects that its own saving leaves in a file: a ParameterDict, and a list of its settings."""
    modules = {name: ModuleType(name) for name in ("omegaconf", "omegaconf.listconfig", "omegaconf.nodes")}
    for name, kind in (("omegaconf.listconfig", "ListConfig"), ("omegaconf.nodes", "AnyNode")):
        setattr(modules[name], kind, type(kind, (), {"__module__": name}))
    settings = modules["omegaconf.listconfig"].ListConfig()
    word = modules["omegaconf.nodes"].AnyNode()
    word.__dict__.update(_val="cat", _parent=settings)
    settings.__dict__.update(_content=[word], _parent=None, _metadata={"object_type": list, "optional": True})
    package = {
        "global_step": 400,
        "C_inv": content.inverse,
        "target_input": content.target_input,
        "embedding": {
            "initializer_words": settings,
            "string_to_token": {"*": 265},
            "string_to_param": nn.ParameterDict({"*": nn.Parameter(content.embedding)}),
        },
        "target_output": content.outputs,
    }
    with mock.patch.dict(sys.modules, modules):
        torch.save(package, path)
