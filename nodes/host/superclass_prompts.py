"""Superclass prompts for training with a position gate: encoded once, by the host's own CLIP, with marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ...perfusion_ops import Encoded
from ...perfusion_ops.text.prompts import fill_template
from ..families.second_text import SecondText
from .clip import clip_knowing
from .concept_words import ConceptWord
from .conditioning import marks_in, marks_of, with_whole_text, without_marks
from .encoded_prompt import EncodedPrompt, plain
from .naming import Naming
from .network_reader import NetworkReader


@dataclass(frozen=True)
class SuperclassPrompts:
    """All prompts of one training (perfusion_ops.TextEncoder), so that the text encoder can leave the device."""

    superclass: str
    prompts: Mapping[str, Encoded]
    """Template -> the one prompt, on the CPU."""
    pooled: Tensor | None
    """The prompts' pooled encoding (1, width), averaged; none where the text encoder has none."""
    word: str = ""
    entries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Template -> what goes beside its encodings, for networks that read more than these."""

    @classmethod
    def of(
        cls, clip, word: str, superclass: str, templates: Sequence[str], second: SecondText | None = None
    ) -> SuperclassPrompts:
        """Encode every template as for drawing, with a ``second`` text packed into the same tensor.

        Raises ValueError if the CLIP loses a template's mark.
        """
        knowing = clip_knowing(clip, ConceptWord(word, superclass, marked=True, naming=Naming(word)))
        prompts, others, pooled = {}, {}, []
        for template in dict.fromkeys(templates):
            tokens = knowing.tokenize(fill_template(template, word))
            entries = knowing.encode_from_tokens(tokens, return_dict=True)
            encodings, whole = entries.pop("cond"), entries.pop("pooled_output")
            prompt = with_whole_text({**entries, "cross_attn": encodings}, second)["cross_attn"]
            if not isinstance(prompt, EncodedPrompt):
                raise ValueError(
                    f"The template or caption {template[:60]!r} comes out of this CLIP without a mark of where the "
                    "subject stands. Connect the CLIP of the checkpoint directly, without nodes of other packs between."
                )
            marks, lengths = _kept(marks_of(prompt, [word])[..., 0]), ()
            if second is not None:
                lengths = second.lengths(encodings, entries)
                encodings, entries = second.packed(plain(encodings), without_marks(entries)), {}
            prompts[template] = Encoded(_kept(encodings).float(), marks.argmax(1), None, marks, lengths)
            others[template] = entries
            pooled.append(whole)
        whole = None if pooled[0] is None else _kept(torch.cat(pooled)).mean(0, keepdim=True)
        return cls(superclass, prompts, whole, word, others)

    def read_by(self, reader: NetworkReader) -> SuperclassPrompts:
        """The same prompts as a network's own layers read them, token by token."""
        with torch.no_grad():
            read = {template: self._read(template, reader) for template in self.prompts}
        return replace(self, prompts=read)

    def _read(self, template: str, reader: NetworkReader) -> Encoded:
        prompt, entries, entry = self.prompts[template], self.entries[template], reader.family.entry
        encodings = reader(prompt.encodings, {name: _kept(value) for name, value in entries.items()}).float().cpu()
        if entry is None:
            return replace(prompt, encodings=encodings)
        marks = marks_in(entries, [self.word], entry, encodings)[..., 0]
        return Encoded(encodings, marks.argmax(1), None, marks)

    def initial_embeddings(self) -> dict[str, Tensor]:
        """None: nothing of the word is learned."""
        return {}

    def encode(self, templates: Sequence[str], embeddings: Mapping[str, Tensor] | None = None) -> Encoded:
        """One prompt; several differ in length."""
        (template,) = templates
        return self.prompts[template]

    def pooled_superclass(self, _templates: Sequence[str]) -> Tensor | None:
        """The averaged pooled encoding (1, width)."""
        return self.pooled


def _kept(tensor: Any) -> Any:
    """A copy on the CPU that may meet a backward pass, wherever the host made the original."""
    if not isinstance(tensor, Tensor):
        return tensor
    with torch.inference_mode(False):
        return plain(tensor).detach().cpu().clone()
