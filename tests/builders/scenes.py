"""One prompt's picture with and without the concept, and room for whatever else a workflow does."""

from __future__ import annotations

from builders.workflows import Workflow, apply, encode, load, sample, show

TEDDY = "teddy.safetensors"
PROMPT, PLAIN = "a photo of a teddy_t", "a photo of a bear"


class Scene:
    """A workflow under construction: the plain or the edited picture of one prompt. Load, ``apply``, ``finish``."""

    def __init__(self, edited: bool) -> None:
        self.graph = Workflow()
        self.model, self.clip, self.vae = load(self.graph)
        self.edited = edited
        self.text = PROMPT if edited else PLAIN

    def apply(self, **settings) -> None:
        if self.edited:
            self.model, self.clip = apply(self.graph, self.model, self.clip, TEDDY, **settings)

    def prompt(self, text: str | None = None):
        return encode(self.graph, self.clip, text or self.text)

    def finish(self, positive=None, negative=None, **settings):
        positive = positive or self.prompt()
        negative = negative or self.prompt("blurry")
        return self.graph, show(self.graph, sample(self.graph, self.model, positive, negative, **settings), self.vae)
