"""On which layer of a text encoder a prompt is read: clip skip, as CLIP Set Last Layer chooses it for a whole CLIP."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from ...perfusion_ops import Concept

ENTRY = "last_layer"
"""Its name among a concept's metadata, written only where a training chose another layer than the encoders' own."""
LAST = -1


@dataclass(frozen=True)
class LastLayer:
    """What CLIP Set Last Layer chose; none where each text encoder is read on its own layer."""

    chosen: int | None = None

    @classmethod
    def of_clip(cls, clip, encoders: Iterable[nn.Module]) -> LastLayer:
        """What was chosen for ``clip``; nothing if its text ``encoders`` are read there anyway."""
        chosen, own = cls(clip.layer_idx), cls()
        encoders = (each for each in encoders if hasattr(each, "options_default"))
        return chosen if any(chosen.read_by(each) != own.read_by(each) for each in encoders) else own

    @classmethod
    def of_concept(cls, concept: Concept) -> LastLayer | None:
        """What was chosen in a concept's training; none if its file does not tell its text encoder at all."""
        if "encoder" not in concept.metadata:
            return None
        try:
            return cls(int(concept.metadata[ENTRY]) if ENTRY in concept.metadata else None)
        except ValueError:
            return None

    @property
    def metadata(self) -> dict[str, str]:
        return {} if self.chosen is None else {ENTRY: str(self.chosen)}

    def read_by(self, encoder: nn.Module) -> Any:
        """The layer on which one text ``encoder`` is read with this choice, counted as CLIP Set Last Layer does."""
        if self.chosen is None:
            return _read(encoder, *encoder.options_default[:2])
        before = encoder.layer, encoder.layer_idx
        encoder.layer, encoder.layer_idx = encoder.options_default[:2]
        encoder.set_clip_options({"layer": self.chosen})
        found = _read(encoder, encoder.layer, encoder.layer_idx)
        encoder.layer, encoder.layer_idx = before
        return found

    def missed_by(self, word: str, encoder: nn.Module) -> str:
        """A sentence if ``encoder``, which reads a prompt with ``word`` just now, is read on another layer; else empty.
        """
        if not hasattr(encoder, "options_default"):
            return ""
        trained, found = self.read_by(encoder), _read(encoder, encoder.layer, encoder.layer_idx)
        if found == trained:
            return ""
        wanted = trained if self.chosen is None else self.chosen
        return (
            f"The concept {word!r} was trained on layer {wanted} of the text encoder, and a prompt that names it is "
            f"encoded on layer {found} (clip skip), so the subject may look less like itself. Set stop_at_clip_layer "
            f"of CLIP Set Last Layer to {wanted} for that prompt, or train the concept again."
        )


def _read(encoder: nn.Module, layer: Any, index: int | None) -> Any:
    """The layer that settings of a text encoder name: the last hidden one, with its norm, is the last."""
    if layer == "last" or (layer == "hidden" and index == LAST and encoder.layer_norm_hidden_state):
        return LAST
    return index if layer == "hidden" else layer
