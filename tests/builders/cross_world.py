"""A small model and CLIP of a family with text cross-attention, concepts for them, and pictures that they draw."""

from __future__ import annotations

import torch

from .cross_models import CROSS, Facts, cross_clip, model_of
from .older_hosts import skip_where_untrainable

TEXT = "a photo of a {} at sea, by night"
GATE = (0.6, 0.15, True)
"""Bias, temperature, leak-free."""


class CrossWorld:
    """A small model and CLIP of one family, and concepts for them."""

    def __init__(self, pack, family: str, facts: Facts | None = None) -> None:
        self.pack, self.name, self.facts = pack, family, facts or CROSS[family]
        self.model, self.clip = model_of(self.facts), cross_clip(family)
        self.family, self.net = pack.family.family_of(self.model), self.model.model.diffusion_model
        self.latent, self.width = (2, *self.facts.latent), self.family.context_width(self.net)
        self.reader = pack.network_reader.NetworkReader.of(self.model)

    @torch.inference_mode()
    def context(self, text: str) -> torch.Tensor:
        """What K and V read of a prompt (1, T, d); of two texts, of whose encodings."""
        answer = self.clip.encode_from_tokens(self.clip.tokenize(text), return_dict=True)
        if self.family.second is not None:
            return self.pack.encoded_prompt.plain(self.family.second.in_sequence(answer["cond"], answer)).clone()
        return self.pack.encoded_prompt.plain(self.reader(answer["cond"], answer)).clone()

    @torch.inference_mode()
    def given(self, text: str) -> torch.Tensor:
        """What the host hands to the network for a prompt (1, T, d)."""
        inside = reads_inside(self.family)
        return self.clip.encode_from_tokens(self.clip.tokenize(text)).clone() if inside else self.context(text)

    @torch.inference_mode()
    def trained(self, text: str) -> torch.Tensor:
        """A prompt as a training with a position gate keeps it (1, T', d')."""
        if self.family.second is None:
            return self.context(text)
        answer = self.clip.encode_from_tokens(self.clip.tokenize(text), return_dict=True)
        return self.family.second.packed(answer.pop("cond"), answer).clone()

    @torch.inference_mode()
    def padding(self) -> torch.Tensor:
        """What K and V read (d,) where the host pads."""
        return self.context("a")[0, -1]

    def concept(self, word: str = "teddy_t", superclass: str = "teddy bear", seed: int = 1):
        """A concept of random looks, whose word is heard where its superclass stands, if the family has such words."""
        if not self.facts.learned:
            return self.position_concept(word, superclass, seed)
        generator = torch.Generator().manual_seed(seed)

        def normal(size: int, scale: float = 1.0) -> torch.Tensor:
            return scale * torch.randn(size, generator=generator)

        embedding = normal(self.facts.embedding)
        heard = self.heard(word, superclass, embedding)
        parts = {"word": word, "superclass": superclass, "base_family": self.family.name}
        widths = self.family.value_widths(self.net)
        return self.pack.ops.Concept(
            **parts,
            target_input=heard,
            target_dual=heard + normal(self.width, 0.1 * heard.std()),
            superclass_encoding=self.context(f"a {superclass}")[0, 2] + normal(self.width, 0.1),
            word_embeddings={self.facts.encoder: embedding},
            value_residuals={name: normal(width) for name, width in widths.items()},
        )

    def position_concept(self, word: str = "teddy_t", superclass: str = "teddy bear", seed: int = 1):
        """A concept of random looks at the superclass's own words."""
        generator, widths = torch.Generator().manual_seed(seed), self.family.value_widths(self.net)
        return self.pack.ops.Concept(
            **{"word": word, "superclass": superclass, "base_family": self.family.name, "gate": "position"},
            value_residuals={name: torch.randn(width, generator=generator) for name, width in widths.items()},
        )

    def heard(self, word: str, superclass: str, embedding: torch.Tensor) -> torch.Tensor:
        """The context at the concept's own token (d,)."""
        known = self.pack.concept_words.ConceptWord(word, superclass, {self.facts.encoder: embedding})
        readers = self.pack.clip.tokenizers_knowing(self.clip, [known])
        rows = readers.tokenize_with_weights(TEXT.format(word))[self.pack.whole_prompts.spelling_name(self.clip)]
        kinds = self.pack.concept_words.CONCEPT_TOKENS
        place = max(n for n, (token, _) in enumerate(rows[0]) if isinstance(token, kinds))
        naming = self.pack.naming.Naming(word)
        knowing = self.pack.clip.clip_knowing(self.clip, known.__class__(**{**vars(known), "naming": naming}))
        with torch.inference_mode():
            answer = knowing.encode_from_tokens(knowing.tokenize(TEXT.format(word)), return_dict=True)
            context = self.reader(self.pack.encoded_prompt.plain(answer["cond"]), answer)
        return context[0, place].float().clone()

    def applied(self, *concepts, strength: float = 1.0, locking: str = "local", gate=GATE, **where):
        """MODEL and CLIP as a chain of Apply nodes makes them."""
        model, clip = self.model, self.clip
        locking = self.pack.ops.KeyLocking(locking)
        for concept in concepts:
            naming = self.pack.naming.Naming(concept.word)
            term = self.pack.ops.EditTerm(concept, self.pack.ops.Gate(*gate), strength, locking)
            if strength:
                applied = self.pack.model.AppliedConcept(term, naming=naming, **where)
                model = self.pack.model.model_with_concept(model, applied)
            clip = self.pack.clip.clip_with_concept(clip, concept, strength, locking, naming)
        return model, clip

    @torch.inference_mode()
    def draw(self, model, clip, text: str, cfg: float = 3.0, entries=None, options=None) -> torch.Tensor:
        """Two Euler steps with CFG from fixed noise, of the host's own sampling; both conditionings with ``entries``.
        """
        if options:
            model = model.clone()
            model.model_options["transformer_options"] |= options
        texts = text, "a (boat:1.3)"
        conds = [clip.encode_from_tokens_scheduled(clip.tokenize(words), show_pbar=False) for words in texts]
        conds = [[[encodings, others | (entries or {})] for encodings, others in cond] for cond in conds]
        return self.sample(model, *conds, cfg=cfg)

    @torch.inference_mode()
    def sample(self, model, positive, negative=None, cfg: float = 1.0) -> torch.Tensor:
        """The same for conditionings; without a negative one, without guidance."""
        import comfy.sample

        conds = positive, (positive if negative is None else negative)
        noise, empty = torch.randn(self.latent, generator=torch.Generator().manual_seed(1)), torch.zeros(self.latent)
        settings = {"disable_pbar": True, "seed": 1}
        return comfy.sample.sample(model, noise, 2, cfg, "euler", "simple", *conds, empty, **settings)

    @torch.inference_mode()
    def marks(self, text: str) -> list[tuple[str, torch.Tensor]]:
        """Tokenizer -> the tokens (T,) that a concept of a teddy bear takes of a prompt, by each that K and V read."""
        prompts = self.pack.superclass_prompts.SuperclassPrompts.of(
            self.clip, "w", "teddy bear", [text], self.family.second
        )
        (marks,) = prompts.read_by(self.reader).encode([text]).marks
        if self.family.second is None:
            return [(self.pack.whole_prompts.spelling_name(self.clip), marks)]
        first = self.clip.encode_from_tokens(self.clip.tokenize(text.format("teddy bear"))).shape[1]
        return list(zip(self.family.second.tokenizers, marks.split((first, len(marks) - first)), strict=True))

    def noise(self, seed: int = 3) -> torch.Tensor:
        """A latent as training has it (1, C, h, w)."""
        latent = torch.randn(1, *self.facts.latent, generator=torch.Generator().manual_seed(seed))
        return latent.squeeze(2) if latent.ndim == 5 else latent

    def private(self, recompute: bool = False):
        skip_where_untrainable(self.pack, self.family)
        return self.pack.task.PrivateModel.of(self.model, "float32", recompute)


def weights(projection) -> tuple[torch.Tensor, torch.Tensor | None]:
    """A projection's weight and bias: those of its own outputs, where the host has keys and values in one matrix."""
    whole, outputs = getattr(projection, "whole", projection), getattr(projection, "outputs", slice(None))
    return whole.weight[outputs], None if whole.bias is None else whole.bias[outputs]


def reads_inside(family) -> bool:
    """Whether the host hands the encodings on as they are, and the network's own layers read them."""
    return family.as_patch is None and family.name not in ("anima", "cosmos2")
