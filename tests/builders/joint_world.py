"""A small model of a family with joint attention, prompts and concepts for it, and pictures that it draws."""

from __future__ import annotations

import torch

from .joint_models import JOINT, TOKENS, Facts, small_model
from .kin_models import KIN

MARKED = (4, 5)
"""The tokens of a prompt where its first concept stands."""


class JointWorld:
    """A small model of one family, prompts, and concepts for it."""

    def __init__(self, pack, family: str, facts: Facts | None = None) -> None:
        self.pack, self.name, self.facts = pack, family, facts or (JOINT | KIN)[family]
        self.model = small_model(self.facts.config, self.facts.unet, torch.float32)
        self.family = pack.family.family_of(self.model)
        self.net = self.model.model.diffusion_model
        self.latent = (2, *self.facts.latent)

    def concept(self, word: str = "teddy_t", seed: int = 1, scale: float = 1.0):
        generator = torch.Generator().manual_seed(seed)
        widths = self.family.value_widths(self.net)
        residuals = {name: scale * torch.randn(width, generator=generator) for name, width in widths.items()}
        parts = {"word": word, "superclass": "bear", "base_family": self.family.name, "gate": "position"}
        return self.pack.ops.Concept(value_residuals=residuals, **parts)

    def applied(self, *concepts, strength: float = 1.0, **where):
        model = self.model
        for concept in concepts:
            term = self.pack.ops.EditTerm(concept, self.pack.ops.Gate(), strength)
            model = self.pack.model.model_with_concept(model, self.pack.model.AppliedConcept(term, **where))
        return model

    def prompt(self, seed: int, words=(), tokens: int = TOKENS) -> torch.Tensor:
        """Encodings (1, T, d) as a text encoder with the words in it makes them."""
        encodings = torch.randn(1, tokens, self.facts.context, generator=torch.Generator().manual_seed(seed))
        beside = {}
        for number, word in enumerate(words):
            marks = torch.zeros(1, tokens)
            marks[0, [place + 3 * number for place in MARKED]] = 1
            beside[f"marked {word}"] = self.pack.marks.with_marks(encodings, marks)
        namings = [self.pack.naming.Naming(word) for word in words]
        make = self.pack.encoded_prompt.EncodedPrompt.beside_others
        return make(encodings, namings, None, beside) if words else encodings

    def given(self, prompt: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """A prompt as a conditioning has it, its last tokens as a second text where the family reads one."""
        count, second = self.facts.first_tokens, self.family.second
        if second is None:
            return prompt, {}
        layers = torch.linspace(0.5, 1, self.facts.unet["llama_layers"][-1] + 1)
        return prompt[:, :count], {second.entry: prompt[:, count:].unsqueeze(1) * layers.view(1, -1, 1, 1)}

    def packed(self, prompt: torch.Tensor) -> torch.Tensor:
        """The same as a training has it, in one tensor."""
        return prompt if self.family.second is None else self.family.second.packed(*self.given(prompt))

    def in_sequence(self, marks: torch.Tensor) -> torch.Tensor:
        """Marks or gates (B, T, ...) of a prompt as layers read its tokens: those of a second text again."""
        if self.family.second is None:
            return marks
        return torch.cat((marks, *[marks[:, self.facts.first_tokens :]] * (self.family.second.times - 1)), 1)

    def draw(
        self, model, *positive: torch.Tensor, options=None, entries=None, seed: int = 1, steps: int = 2, cfg=3.0
    ) -> torch.Tensor:
        """Euler steps from the noise of a ``seed``, of the host's own sampling; both conditionings with ``entries``."""
        import comfy.sample

        if options:
            model = model.clone()
            model.model_options["transformer_options"] |= options
        pooled = {"pooled_output": None if self.facts.pooled is None else torch.ones(1, self.facts.pooled)}
        prompts = [self.given(prompt) for prompt in (torch.cat(positive), self.prompt(6))]
        conds = [[[prompt, pooled | beside | (entries or {})]] for prompt, beside in prompts]
        noise = torch.randn(self.latent, generator=torch.Generator().manual_seed(seed))
        empty = comfy.sample.fix_empty_latent_channels(model, torch.zeros(self.latent))
        noise = noise.view(empty.shape)
        settings = {"disable_pbar": True, "seed": 1}
        return comfy.sample.sample(model, noise, steps, cfg, "euler", "simple", *conds, empty, **settings)
