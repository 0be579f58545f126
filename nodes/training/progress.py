"""A training's progress on its node: a line, previews, cancel."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import comfy.model_management
import comfy.utils
import torch
from PIL import Image
from torch import Tensor

from ...perfusion_ops import Concept, StepReport
from ..host.device_memory import is_out_of_memory
from ..host.messages import running_node, send_event, show_last, show_on_node
from ..host.thumbnails import as_image
from .loss_curve import LossCurve

PREVIEW_PIXELS = 512
SECONDS_BETWEEN_EVENTS = 0.5
"""Often enough for the eye, seldom enough for a training of thousands of quick steps."""


@dataclass
class Progress:
    """The training loop's callback: shows the progress, draws previews, stops when the user cancels."""

    steps: int
    preview_every: int
    draw: Callable[[Concept], Tensor]
    previews: list[Tensor] = field(default_factory=list)
    last: StepReport | None = None
    curve: LossCurve = field(default_factory=LossCurve)
    sent: float = 0.0
    """When the browser last heard of the curve."""
    warning: str = ""
    """Stays below every line, which would replace it otherwise."""

    def __post_init__(self) -> None:
        self.node = running_node()
        self.bar = comfy.utils.ProgressBar(self.steps)

    def __call__(self, report: StepReport) -> None:
        if self.last is not None and report.micro_batch < self.last.micro_batch:
            logging.info(
                "Perfusion training: memory ran out at step %d; pictures are now computed %d at a time.",
                *(report.step, report.micro_batch),
            )
        self.last = report
        self.tell(
            f"{report.step}/{report.steps} · loss {report.loss:.4f} · {_speed(report.seconds_per_step)} · "
            f"{_left(report)} left"
        )
        self.curve.add(report.step, report.loss)
        if report.step == report.steps or time.monotonic() - self.sent >= SECONDS_BETWEEN_EVENTS:
            self._send(report.step, _seconds_left(report))
        picture = None
        if self._shows(report.step):
            picture = self._preview(report.concept())
        self.bar.update_absolute(report.step, report.steps, picture)
        comfy.model_management.throw_exception_if_processing_interrupted()

    def _shows(self, step: int) -> bool:
        """Whether a preview is due; a training that is shorter than their distance has one at its end."""
        if not self.preview_every:
            return False
        return step % self.preview_every == 0 or (step == self.steps < self.preview_every)

    def _preview(self, concept: Concept) -> tuple[str, Image.Image, int] | None:
        """If memory has no room for a preview, training goes on without it."""
        try:
            self.previews.append(self.draw(concept))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            told = f"No preview at step {self.last.step}: memory ran out. Training goes on."
            logging.warning("Perfusion training: %s", told)
            self.tell(told)
            return None
        return ("JPEG", as_image(self.previews[-1]), PREVIEW_PIXELS)

    def tell(self, text: str) -> None:
        """A line on the node."""
        show_on_node(self._with_warning(text), self.node)

    def conclude(self, text: str) -> None:
        """The last line of the training on the node."""
        show_last(self._with_warning(text), self.node)

    def _with_warning(self, text: str) -> str:
        return "\n".join(filter(None, (text, self.warning)))

    def announce(self, text: str) -> None:
        """A line on the node, which the first step replaces, and in the log; nothing for an empty one."""
        if text:
            logging.warning("Perfusion training: %s", text)
            self.tell(text)

    def finished(self, losses: Sequence[float]) -> None:
        """The curve of the whole training, also of one that an earlier run had begun or done, and all previews."""
        self.curve = LossCurve.of(losses)
        self._send(self.steps, 0.0)
        if self.previews:
            # A frontend goes on showing the last picture that came while the node ran, not what the node returns.
            self.bar.update_absolute(self.steps, self.steps, ("JPEG", as_image(self.sheet()), None))

    def _send(self, step: int, seconds_left: float) -> None:
        """For the curve on the node: everything that it draws, so that a browser that was reloaded draws it too."""
        if self.node is None:
            return
        self.sent = time.monotonic()
        event = {"node": self.node, "step": step, "steps": self.steps, "seconds_left": round(seconds_left, 1)}
        send_event("perfusion.training", {**event, "losses": list(self.curve.points)})

    def sheet(self) -> Tensor | None:
        return torch.cat(self.previews, dim=1) if self.previews else None


def _speed(seconds: float) -> str:
    return f"{1 / seconds:.2f} steps/s" if seconds < 1 else f"{seconds:.1f} s/step"


def _left(report: StepReport) -> str:
    minutes, seconds = divmod(int(_seconds_left(report)), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def _seconds_left(report: StepReport) -> float:
    return (report.steps - report.step) * report.seconds_per_step
