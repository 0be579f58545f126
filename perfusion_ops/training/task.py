"""What training is given: pictures, words, and two callables that encode and draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from ..edit.injection import InjectedEdit, Projections, inject
from ..text.prompts import DEFAULT_TEMPLATES, split_template
from .noise import FlowSchedule, NoiseSchedule


@dataclass(frozen=True)
class Picture:
    """One training picture, encoded by the model's first stage. Pictures of one task may differ in size.

    Raises ValueError for shapes that do not fit each other, and for a mask or latent that is not finite.
    """

    latent: Tensor
    """(C, h, w)."""
    mask: Tensor | None = None
    """Soft mask of the subject, 0 or more (h, w); none means everywhere."""
    mirrored: Tensor | None = None
    """The latent of the horizontally flipped picture (C, h, w); none if it must not be flipped."""
    templates: tuple[str, ...] | None = None
    """This picture's own templates, such as a caption with ``{}`` in the subject's place; none for the task's."""

    def __post_init__(self) -> None:
        if self.latent.ndim != 3 or not torch.isfinite(self.latent).all():
            raise ValueError(f"A picture's latent has shape {tuple(self.latent.shape)}; expected finite (C, h, w).")
        if self.mirrored is not None and self.mirrored.shape != self.latent.shape:
            raise ValueError("A picture's mirrored latent must have the shape of its latent.")
        if self.mask is None:
            return
        if self.mask.shape != self.latent.shape[1:]:
            raise ValueError(
                f"A mask has shape {tuple(self.mask.shape)}; expected {tuple(self.latent.shape[1:])}, as its latent."
            )
        if not (torch.isfinite(self.mask).all() and self.mask.min() >= 0 and self.mask.max() > 0):
            raise ValueError("A mask is empty, negative or not finite; paint the subject white, or leave the mask out.")


@dataclass(frozen=True)
class Encoded:
    """Prompts as the model's text encoder sees them."""

    encodings: Tensor
    """(P, T, d)."""
    positions: Tensor
    """Where the concept's token stands in each prompt (P,), long."""
    keep: Tensor | None = None
    """bool (P, T): tokens never edited, such as start-of-text."""
    marks: Tensor | None = None
    """(P, T): 1 at the superclass's tokens, where a position gate opens; none: at ``positions`` alone."""
    lengths: tuple[int, ...] = ()
    """Tokens of each text, where a model reads several and ``encodings`` holds them all; none: there is one."""

    def concept_encodings(self) -> Tensor:
        """The encoding at each prompt's concept token (P, d)."""
        return self.encodings[torch.arange(len(self.positions)), self.positions]

    def to(self, device: torch.device | str) -> Encoded:
        """The same prompts on ``device``."""
        keep, marks = (None if t is None else t.to(device) for t in (self.keep, self.marks))
        return Encoded(self.encodings.to(device), self.positions, keep, marks, self.lengths)

    def position_marks(self) -> Tensor:
        """(P, T), float32."""
        if self.marks is not None:
            return self.marks.float()
        return nn.functional.one_hot(self.positions, self.encodings.shape[1]).float().to(self.encodings.device)


class TextEncoder(Protocol):
    """Encodes templates with the superclass's tokens in the slot; the concept lives in the last of them.

    For a superclass of m tokens the first m - 1 stay and the last is learned, so the prompt with the concept and the
    prompt with the superclass are token-aligned.
    """

    def initial_embeddings(self) -> dict[str, Tensor]:
        """Text encoder name -> embedding of the superclass's last token (width,)."""

    def encode(self, templates: Sequence[str], embeddings: Mapping[str, Tensor] | None) -> Encoded:
        """With ``embeddings`` in place of the last superclass token, differentiable; with None, the superclass."""

    def superclass_encodings(self, templates: Sequence[str]) -> Tensor:
        """The encodings of the superclass's last token alone (P, d); what follows it need not be encoded."""


class Injection(Protocol):
    """How gates and value residuals take effect in a model."""

    value_widths: Mapping[str, int]
    """Layer name -> width of its values."""

    def inject(self) -> AbstractContextManager[InjectedEdit]:
        """While it lasts, the model follows what the injected edit is told to use."""


@dataclass(frozen=True)
class TrainingTask:
    """One concept to train, and the model to train it in.

    Raises ValueError without pictures or layers, and for a template without ``{}``.
    """

    word: str
    superclass: str
    base_family: str
    pictures: Sequence[Picture]
    encoder: TextEncoder
    predict: Callable[[Tensor, Tensor, Tensor], Tensor]
    """(noisy (B, C, h, w), timesteps (B,) on the CPU, encodings (B, T, d)) -> prediction (B, C, h, w)."""
    projections: Projections
    """Layer name -> (to_k, to_v): where the edit takes effect, unless ``injection`` says how."""
    schedule: NoiseSchedule | FlowSchedule
    inverse_covariance: Tensor | None = None
    """``C^-1`` (d, d), any scale; none for a position gate."""
    templates: Sequence[str] = DEFAULT_TEMPLATES
    device: torch.device | str = "cpu"
    metadata: Mapping[str, str] = field(default_factory=dict)
    injection: Injection | None = None
    """For models that read no text in projections of their own: how gates and value residuals take effect there."""

    def __post_init__(self) -> None:
        if not self.pictures:
            raise ValueError("Training needs at least one picture; found none.")
        if not self.value_widths:
            raise ValueError("The model has no text cross-attention to edit; use a text-to-image model that has.")
        for template in (*self.templates, *(t for p in self.pictures for t in p.templates or ())):
            split_template(template)

    def encode(self, templates: Sequence[str], embeddings: Mapping[str, Tensor] | None) -> Encoded:
        """What the encoder gives, on the task's device, wherever the encoder runs."""
        return self.encoder.encode(templates, embeddings).to(self.device)

    def superclass_encoding(self) -> Tensor:
        """``i_s``: the superclass's encoding, averaged over the templates (d,), float32, on the task's device."""
        return self.encoder.superclass_encodings(list(self.templates)).float().mean(0).to(self.device)

    @property
    def value_widths(self) -> Mapping[str, int]:
        """Layer name -> width of its values."""
        if self.injection is not None:
            return self.injection.value_widths
        return {layer: to_v.out_features for layer, (_, to_v) in self.projections.items()}

    def inject(self) -> AbstractContextManager[InjectedEdit]:
        """While it lasts, the model follows what the injected edit is told to use."""
        return inject(self.projections) if self.injection is None else self.injection.inject()
