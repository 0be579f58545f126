"""What a training step of either gate holds and computes on U-Nets, counted at the true size."""

from __future__ import annotations

from typing import Any

import torch

from . import host, models
from .joint_memory import Operations
from .memory import OFF, ON, Step, sizes_without_numbers
from .scale import Scale

CASES = [("sd1", 512, 1), ("sd1", 512, 4), ("sdxl", 1024, 1), ("sdxl", 1024, 4)]
WORD, POSITION = "learned word", "position"
TOKENS, POOLED = 77, 1280


def run(scale: Scale) -> dict[str, list[dict[str, Any]]]:
    cases = [("tiny", 64, 1)] if scale.name == "tiny" else CASES
    rows = [row(*case, how, gate) for case in cases for how in (OFF, ON) for gate in (WORD, POSITION)]
    return {"What a training step of either gate holds and computes, counted": rows}


def row(family: str, pixels: int, batch: int, how: str, gate: str) -> dict[str, Any]:
    """Weights in float16; each picture names a template of its own."""
    latent = torch.zeros(models.FAMILIES[family].latent_channels, pixels // 8, pixels // 8)
    kind = host.pack("perfusion_ops.training.batch").Draw
    templates = host.pack("perfusion_ops.text.prompts").DEFAULT_TEMPLATES[:batch]
    draws = [kind(0, False, template, 500, latent) for template in templates]
    picture = host.pack("perfusion_ops").Picture(latent)
    with sizes_without_numbers():
        step = (Step if gate == WORD else PositionStep)(family, draws, picture, torch.float16, how == ON)
        networks = sum(p.nbytes for net in (*step.unets, *step.encoders) for p in net.parameters())
        operations = Operations()
        with operations:
            live = step.live_bytes()
    counted = {"networks, MiB": networks, "activations at most, MiB": live.peak}
    counted["together, MiB"] = networks + step.learned() + live.peak
    columns = {"model": models.FAMILIES[family].title, "pixels": pixels, "batch": batch, "checkpointing": how}
    columns |= {"gate": gate, "TFLOP": round(operations.total / 1e12, 2)}
    return columns | {name: round(size / 2**20) for name, size in counted.items()}


class PositionStep(Step):
    """One step of the position gate: its prompts were encoded before, and no text encoder is on the device."""

    function = "perfusion_ops.training.position", "position_step"

    def __init__(self, family: str, draws: list, picture: Any, stored: torch.dtype, recompute: bool) -> None:
        ops, node = host.pack("perfusion_ops"), host.pack("nodes.training.task")
        model = models.random_model(family, stored)
        encodings = torch.zeros(1, TOKENS, models.FAMILIES[family].context)
        marks = torch.nn.functional.one_hot(torch.tensor([5]), TOKENS).float()
        templates = [draw.template for draw in draws]
        encoded = dict.fromkeys(templates, ops.Encoded(encodings, torch.tensor([5]), None, marks))
        prompts = host.pack("nodes.host.superclass_prompts").SuperclassPrompts(
            "teddy bear", encoded, torch.zeros(1, POOLED), "my_teddy"
        )
        private = node.PrivateModel.of(model, "bfloat16", recompute)
        self.task = node.training_task(model, private, prompts, "my_teddy", [picture], templates, None, {})
        sizes = {"batch_size": len(draws), "micro_batch": len(draws)}
        self.settings = ops.TrainingSettings(steps=1, **sizes, gate_kind=ops.GateKind.POSITION)
        self.state = host.pack("perfusion_ops.training.state").TrainingState.start(self.task, self.settings)
        self.draws, self.unets, self.encoders = draws, [private.unet], []

    def learned(self) -> int:
        """The value residuals with their gradients and Adam's two moments."""
        return 4 * sum(residual.nbytes for residual in self.state.value_residuals.values())
