"""What a training step with the position gate holds in memory, counted at the true size, and its files."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from builders.joint_true_sizes import TRUE_SIZES, TrueSize

from . import host
from .experts import with_second_text, without_numbers
from .memory import IDLE_OPTIMIZER, LiveBytes, sizes_without_numbers
from .scale import Scale

PIXELS = 1024
STORED = ("bfloat16", "float8_e4m3fn")
ATTENTIONS = ("comfy.ldm.flux.math", "comfy.ldm.lumina.model", "comfy.ldm.qwen_image.model")
ATTENTIONS += ("comfy.ldm.modules.diffusionmodules.mmdit", "comfy.ldm.pixart.blocks", "comfy.ldm.hidream.model")
ATTENTIONS += ("comfy.ldm.hydit.attn_layers", "comfy.ldm.hydit.poolers")


def _attention(queries, keys, values, *_, **__) -> int:
    return sdpa_flop_count(queries.shape, keys.shape, values.shape)


def _attention_backward(gradient, queries, keys, values, *_, **__) -> int:
    return sdpa_backward_flop_count(gradient.shape, queries.shape, keys.shape, values.shape)


FORMULAS = flop_registry | {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""torch's own, and the attention that tensors without numbers take."""


class Operations(TorchDispatchMode):
    """Floating-point operations of products of matrices and of attention; torch's own counter holds on to tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        formula = FORMULAS.get(function.overloadpacket)
        self.total += formula(*args, **(kwargs or {}), out_val=found) if formula else 0
        return found


def run(scale: Scale) -> dict[str, list[dict[str, Any]]]:
    names = ["lumina2"] if scale.name == "tiny" else list(TRUE_SIZES)
    layers = host.pack("perfusion_ops").EditedLayers
    cases = [(TRUE_SIZES[name], stored, choice) for name in names for choice in layers for stored in STORED]
    return {"What a training step with the position gate holds, counted": [row(*case) for case in cases]}


def row(size: TrueSize, stored: str, choice: Any) -> dict[str, Any]:
    side = PIXELS // size.latent_ratio
    picture = host.pack("perfusion_ops").Picture(torch.zeros(size.latent_channels, side, side))
    with sizes_without_numbers(), pytorch_attention(), without_numbers(size.tokens):
        step = Step(size, getattr(torch, stored), picture, choice)
        weights = sum(tensor.nbytes for tensor in (*step.net.parameters(), *step.net.buffers()))
        live, operations = step.counted()
        widths = {name: residual.shape[0] for name, residual in step.state.value_residuals.items()}
    counted = {"model, MiB": weights, "concept and Adam, MiB": 16 * sum(widths.values())}
    counted |= {"activations at most, MiB": live.peak}
    counted["together, MiB"] = sum(counted.values())
    return {
        "model": size.title,
        "pixels": PIXELS,
        "weights in": stored,
        "learns in": f"{choice.value.replace('_', ' ')}, {len(widths)} layers",
        "TFLOP": round(operations / 1e12, 1),
        **{name: round(number / 2**20) for name, number in counted.items()},
        **{f"file in {kind}, KB": round(bytes_of(size, widths, kind) / 1000) for kind in ("fp16", "int8")},
    }


def bytes_of(size: TrueSize, widths: dict[str, int], precision: str) -> int:
    """The length of a concept file for the model."""
    values = {name: torch.ones(width) for name, width in widths.items()}
    kind = host.pack("perfusion_ops").Concept
    concept = kind("my_subject", "teddy bear", size.family, value_residuals=values, gate="position")
    return len(host.pack("perfusion_ops.concept.file").concept_bytes(concept, "concept", precision))


@contextmanager
def pytorch_attention():
    """Attention as accelerators compute it."""
    attention = host.comfy("comfy.ldm.modules.attention").attention_pytorch
    with ExitStack() as stack:
        for room in ATTENTIONS:
            for name in ("optimized_attention", "optimized_attention_masked"):
                if hasattr(host.comfy(room), name):
                    stack.enter_context(mock.patch.object(host.comfy(room), name, attention))
        yield


class Step:
    """One training step of one picture, with gradient checkpointing."""

    def __init__(self, size: TrueSize, stored: torch.dtype, picture: Any, choice: Any) -> None:
        ops, node = host.pack("perfusion_ops"), host.pack("nodes.training.task")
        model = random_model(size, stored)
        marks = torch.nn.functional.one_hot(torch.tensor([5]), size.tokens).float()
        family = host.pack("nodes.families.family").family_of(model)
        encodings = torch.zeros(1, size.tokens, size.context)
        if family.second is not None:
            encodings, marks = with_second_text(family.second, encodings, marks)
        encoded = ops.Encoded(encodings, torch.tensor([5]), None, marks)
        pooled = None if size.pooled is None else torch.zeros(1, size.pooled)
        kept = {"a {}": encoded}, pooled, "my_teddy", {"a {}": {}}
        prompts = host.pack("nodes.host.superclass_prompts").SuperclassPrompts("teddy bear", *kept)
        schedule = ops.FlowSchedule(torch.linspace(0.001, 1, 1000))
        with mock.patch.object(type(family), "noise_schedule", lambda _family, _model: schedule):
            private = node.PrivateModel.of(model, "bfloat16", True)
            read = private.superclass_prompts(model, prompts)
            given = model, private, read, "my_teddy", [picture], ["a {}"], None, {}
            self.task = node.training_task(*given)
        position = ops.GateKind.POSITION
        kind = {"gate_kind": position, "layers": choice}
        self.settings = ops.TrainingSettings(steps=1, batch_size=1, micro_batch=1, **kind)
        self.state = host.pack("perfusion_ops.training.state").TrainingState.start(self.task, self.settings)
        draw = host.pack("perfusion_ops.training.batch").Draw
        self.net, self.draws = private.unet, [draw(0, False, "a {}", 500, picture.latent)]

    def counted(self) -> tuple[LiveBytes, int]:
        """What lives during the step, and the operations of its products of matrices and its attention."""
        operations = Operations()
        live = LiveBytes([*self.net.parameters(), *self.net.buffers()])
        self.state.optimizer = IDLE_OPTIMIZER
        step = host.pack("perfusion_ops.training.position").position_step
        with self.task.inject() as injected, operations, live:
            step(self.task, self.settings, self.state, self.draws, injected, {})
        return live, operations.total


def random_model(size: TrueSize, stored: torch.dtype):
    """A MODEL of the true shapes without numbers."""
    supported = host.comfy("comfy.supported_models")
    config = getattr(supported, size.small.config)(size.unet)
    config.custom_operations = host.comfy("comfy.ops").disable_weight_init
    config.set_inference_dtype(stored, None)
    # PixArt's network reads numbers that it has no use for.
    with mock.patch.object(torch.Tensor, "item", lambda _tensor: 0.0):
        model = config.get_model({}, device="cpu")
    device = torch.device("cpu")
    return host.comfy("comfy.model_patcher").ModelPatcher(model, device, device)
