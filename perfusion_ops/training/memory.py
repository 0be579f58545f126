"""How much of a batch is computed at once: all of it, or as much as memory holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .settings import TrainingSettings
from .task import Encoded, TrainingTask

PICTURES_ON_A_CPU = 4
"""At once, if nothing else is asked for: a CPU does not say that its memory runs out, and gains little from more."""


@dataclass
class MemoryUse:
    """What is computed at once, and what to halve when memory runs out. Results depend on it by rounding alone."""

    pictures: int
    """In one forward of the model."""
    templates: int
    """In one pass of the text encoder."""
    encoding: bool = False
    """Whether the text encoder is at work, or was when an error ended the step."""

    @classmethod
    def at_first(cls, settings: TrainingSettings, device: torch.device | str) -> MemoryUse:
        asked = settings.micro_batch
        if asked == 0:
            asked = PICTURES_ON_A_CPU if torch.device(device).type == "cpu" else settings.batch_size
        return cls(min(asked, settings.batch_size), settings.batch_size)

    @contextmanager
    def of_the_text_encoder(self) -> Iterator[None]:
        self.encoding = True
        yield
        self.encoding = False

    def halve(self) -> bool:
        """Halve what ran out of memory. False if nothing is left to halve."""
        halves = ("templates", "pictures") if self.encoding else ("pictures", "templates")
        self.encoding = False
        for name in halves:
            if getattr(self, name) > 1:
                setattr(self, name, (getattr(self, name) + 1) // 2)
                return True
        return False


def encode_within(
    memory: MemoryUse, task: TrainingTask, templates: Sequence[str], embeddings: Mapping[str, Tensor]
) -> tuple[Encoded, Callable[[Tensor], None]]:
    """Prompts whose encodings start a graph of their own, and what carries their gradient on to ``embeddings``.

    Templates that fit are encoded once, and their graph is walked once. Others are encoded in parts, and each part
    again when the gradient comes, so that one part's activations are held at a time.
    """
    size = memory.templates
    if len(templates) <= size:
        with memory.of_the_text_encoder():
            encoded = task.encode(templates, embeddings)
        carry = _carrier(memory, lambda: [encoded.encodings], len(templates))
        return replace(encoded, encodings=encoded.encodings.detach().requires_grad_()), carry
    parts = [templates[start : start + size] for start in range(0, len(templates), size)]
    with torch.no_grad(), memory.of_the_text_encoder():
        joined = _joined([task.encode(part, embeddings) for part in parts])
    carry = _carrier(memory, lambda: (task.encode(part, embeddings).encodings for part in parts), size)
    return replace(joined, encodings=joined.encodings.requires_grad_()), carry


def _carrier(memory: MemoryUse, graphs: Callable[[], object], size: int) -> Callable[[Tensor], None]:
    def carry(gradient: Tensor) -> None:
        with memory.of_the_text_encoder():
            for whole, part in zip(graphs(), gradient.split(size), strict=True):
                whole.backward(part)

    return carry


def _joined(parts: Sequence[Encoded]) -> Encoded:
    keep = None if parts[0].keep is None else torch.cat([part.keep for part in parts])
    return Encoded(
        torch.cat([part.encodings for part in parts]), torch.cat([part.positions for part in parts]), keep
    )


def superclass_prompts_within(
    memory: MemoryUse, task: TrainingTask, templates: Sequence[str], known: dict[str, Tensor]
) -> Tensor:
    """The encodings of ``templates`` with the superclass (P, T, d); what is not ``known`` yet is encoded and added."""
    new = [template for template in templates if template not in known]
    with torch.no_grad(), memory.of_the_text_encoder():
        for start in range(0, len(new), memory.templates):
            part = new[start : start + memory.templates]
            known |= dict(zip(part, task.encode(part, None).encodings.float(), strict=True))
    return torch.stack([known[template] for template in templates])
