"""What a training step holds in memory, counted in bytes at the true size; nothing is computed, on any machine."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from . import host, models
from .scale import Scale

CASES = [
    *(("sd1", 512, batch, "float16") for batch in (1, 4, 16)),
    *(("sdxl", 1024, batch, stored) for batch, stored in ((1, "float16"), (1, "float8_e4m3fn"), (4, "float16"))),
    ("sd2", 768, 1, "float16"),
    *((name, 1024, 1, "float16") for name in ("ssd_1b", "vega", "koala_700m", "koala_1b")),
    *((name, 1024, batch, "bfloat16") for name in models.TRANSFORMERS for batch in (1, 4)),
    *((name, 1024, 1, "float8_e4m3fn") for name in models.TRANSFORMERS),
]


OFF, BLOCKS, ON = CHECKPOINTING = ("off", "transformer blocks alone", "on")
"""The second as it was before, for comparison."""


IDLE_OPTIMIZER = SimpleNamespace(param_groups=(), zero_grad=lambda: None, step=lambda: None)
"""For a training state whose step is counted and not taken."""


class LiveBytes(TorchDispatchMode):
    """Bytes of the tensors that exist, weights left out, and their peak."""

    def __init__(self, left_out: list[Tensor]) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known = dict.fromkeys((_key(tensor) for tensor in left_out), 0)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, Tensor) and _key(tensor) not in self.known:
                self._appeared(tensor.untyped_storage())
        return found

    def _appeared(self, storage: torch.UntypedStorage) -> None:
        self.known[storage._cdata] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._left, storage._cdata)

    def _left(self, key: int) -> None:
        self.now -= self.known.pop(key)


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def run(scale: Scale) -> dict[str, list[dict[str, Any]]]:
    cases = [("tiny", 64, 1, "float16")] if scale.name == "tiny" else CASES
    rows = [row(*case, how) for case in cases for how in ways(case[0])]
    return {"What a training step holds, counted": rows}


def ways(family: str) -> tuple[str, ...]:
    """The ways of checkpointing that a family has."""
    return (OFF, ON) if family in models.TRANSFORMERS else CHECKPOINTING


def row(family: str, pixels: int, batch: int, stored: str, how: str) -> dict[str, Any]:
    latent = torch.zeros(models.FAMILIES[family].latent_channels, pixels // 8, pixels // 8)
    kind = host.pack("perfusion_ops.training.batch").Draw
    templates = host.pack("perfusion_ops.text.prompts").DEFAULT_TEMPLATES
    draws = [kind(0, False, template, 500, latent) for template in templates[:batch]]
    picture = host.pack("perfusion_ops").Picture(latent)
    with sizes_without_numbers(), blocks_alone() if how == BLOCKS else nullcontext():
        step = Step(family, draws, picture, getattr(torch, stored), how != OFF)
        weights = [sum(p.nbytes for net in nets for p in net.parameters()) for nets in (step.unets, step.encoders)]
        live = step.live_bytes()
    columns = {"model": models.FAMILIES[family].title, "pixels": pixels, "batch": batch, "weights in": stored}
    columns["checkpointing"] = how
    parts = {"U-Net, MiB": weights[0], "text encoders, MiB": weights[1], "concept and Adam, MiB": step.learned()}
    counted = parts | {"activations at most, MiB": live.peak, "together, MiB": sum(parts.values()) + live.peak}
    return columns | {name: round(size / 2**20) for name, size in counted.items()}


@contextmanager
def sizes_without_numbers() -> Iterator[None]:
    """Tensors without memory, on layers as a training wires them; attention as accelerators compute it."""

    def own(patcher, name: str):  # tensors without memory cannot share any
        return getattr(patcher.model, name).requires_grad_(False).eval()

    encoders = host.pack("nodes.host.encoders")
    tokenize = encoders.chunks_of

    def tokenized(*prompts) -> list[list]:
        with unset_fake_temporarily():  # tokens are numbers that are looked at
            return tokenize(*prompts)

    whole = host.pack("nodes.host.whole_prompts").WholePromptEncoder
    tokenize_whole = whole._prompt

    def tokenized_whole(self, template: str):
        with unset_fake_temporarily():
            return tokenize_whole(self, template)

    attention = host.comfy("comfy.ldm.modules.attention")
    with ExitStack() as stack:
        for room in ("nodes.host.encoders", "nodes.training.task"):
            stack.enter_context(mock.patch.object(host.pack(room), "private_copy", own))
        stack.enter_context(mock.patch.object(host.pack("nodes.host.frozen_layers"), "is_known", lambda _m: True))
        stack.enter_context(mock.patch.object(host.comfy("comfy.model_management"), "load_models_gpu"))
        stack.enter_context(mock.patch.object(attention, "optimized_attention", attention.attention_pytorch))
        stack.enter_context(mock.patch.object(encoders, "chunks_of", tokenized))
        stack.enter_context(mock.patch.object(whole, "_prompt", tokenized_whole))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        yield


@contextmanager
def blocks_alone() -> Iterator[None]:
    copies = host.pack("nodes.host.private_copies")
    with (
        mock.patch.object(copies, "_is_unet_block", lambda module: hasattr(module, "attn2") and hasattr(module, "ff")),
        mock.patch.object(copies, "_is_text_layer", lambda _module: False),
    ):
        yield


class Step:
    """One training step, as the node wires it, of a batch that is computed whole and names every template."""

    function = "perfusion_ops.training.loop", "training_step"

    def __init__(self, family: str, draws: list, picture: Any, stored: torch.dtype, recompute: bool) -> None:
        ops, node, encoders = (host.pack(n) for n in ("perfusion_ops", "nodes.training.task", "nodes.host.encoders"))
        model, clip = models.random_model(family, stored), models.random_clip(family, torch.float16)
        private = node.PrivateModel.of(model, "bfloat16", recompute)
        copies, device = encoders.private_encoders(clip, recompute)
        encoder = private.text_encoder(model, clip, copies, "teddy bear", device)
        templates = [draw.template for draw in draws]
        metric = torch.eye(models.FAMILIES[family].context)
        self.task = node.training_task(model, private, encoder, "my_teddy", [picture], templates, metric, {})
        self.settings = ops.TrainingSettings(steps=1, batch_size=len(draws), micro_batch=len(draws))
        self.state = host.pack("perfusion_ops.training.state").TrainingState.start(self.task, self.settings)
        self.draws, self.unets, self.encoders = draws, [private.unet], list(copies.values())

    def live_bytes(self) -> LiveBytes:
        live = LiveBytes([p for net in (*self.unets, *self.encoders) for p in net.parameters()])
        self.state.optimizer = IDLE_OPTIMIZER
        room, name = self.function
        step = getattr(host.pack(room), name)
        with self.task.inject() as injected, live:
            step(self.task, self.settings, self.state, self.draws, injected, {})
        return live

    def learned(self) -> int:
        """What training changes, with its gradients and Adam's two moments, and the inverse covariance."""
        learned = (*self.state.word_embeddings.values(), *self.state.value_residuals.values())
        return 4 * sum(tensor.nbytes for tensor in learned) + self.state.inverse_covariance.nbytes
