"""Where a concept is named and where it takes effect, so that nothing is ever silently without effect."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from . import messages
from .last_layer import LastLayer


@dataclass(eq=False)
class Naming:
    """The use of one concept from one Apply node on: shared by its word in the CLIP and its term in the MODEL."""

    word: str = ""
    node: str | None = None
    """Id of the Apply node; none outside of a workflow."""
    standing: str = ""
    """What the Apply node itself had to say, which its line goes on showing."""
    stood_in: str | None = None
    """The run in which it said so: in a later one it may not run again."""
    trained_on: LastLayer | None = None
    """The text encoder's layer of the training; none if it is not known."""
    layers: dict[int, tuple[str | None, str]] = field(default_factory=dict)
    """Text encoder -> the run in which it last read a prompt with the word, and what there is to say of the layer."""
    read: bool = False
    """Whether a prompt with the word was ever tokenized by the CLIP output, in this run or before: ComfyUI keeps
    encodings, so an encode node that did not run again may still name it."""
    effective_run: str | None = None
    """The last run of the queue in which the concept took effect."""
    said: dict[tuple[str | None, str], None] = field(default_factory=dict)
    """(run, why the concept had no effect in it), in the order in which it was said."""

    def was_read(self) -> None:
        """A prompt that names the word was tokenized."""
        self.read = True

    def stands(self, sentences: str) -> None:
        """The Apply node said ``sentences`` in this run."""
        self.standing, self.stood_in = sentences, messages.current_run()

    def says_again(self) -> None:
        """A sampler draws with the concept: what stands is said in every run, though ComfyUI does not run Apply or the
        encode node again when only the sampler changes.
        """
        run, line = messages.current_run(), self.line
        old = [self.standing] if self.stood_in != run else []
        old += [sentence for said_in, sentence in self.layers.values() if said_in != run]
        self.stood_in = run
        self.layers = {encoder: (run, sentence) for encoder, (_run, sentence) in self.layers.items()}
        if any(old):
            messages.warn(line, " ".join(dict.fromkeys(filter(None, old))), self.node)

    @property
    def line(self) -> str:
        """What the Apply node shows as long as nothing else is wrong."""
        layers = (sentence for _run, sentence in self.layers.values())
        return " ".join(dict.fromkeys(filter(None, (self.standing, *layers))))

    @property
    def complaints(self) -> str:
        """The same, and why the concept has no effect in this run."""
        run = messages.current_run()
        return " ".join(filter(None, (self.line, *(sentence for said, sentence in self.said if said == run))))

    def was_encoded(self, encoder: nn.Module) -> None:
        """A prompt that names the word is encoded: say once a run if it is on another layer than in the training."""
        sentence = "" if self.trained_on is None else self.trained_on.missed_by(self.word, encoder)
        said, line = (messages.current_run(), sentence), self.line
        is_new = said not in self.layers.values()
        self.layers[id(encoder)] = said
        if sentence and is_new:
            messages.warn(self.line, sentence, self.node)
        elif line != self.line:
            messages.show_on_node(self.line, self.node)

    def works(self) -> None:
        """The concept takes effect in this run: take back what was said of it."""
        run = messages.current_run()
        self.effective_run = run
        if self.said:
            self.said.clear()
            messages.show_on_node(self.line, self.node)

    def fails(self, sentence: str) -> None:
        """Say once a run, on the Apply node and in the log, why the concept has no effect."""
        run = messages.current_run()
        if (run, sentence) in self.said or (run is not None and self.effective_run == run):
            return
        if sentence in self.standing and self.stood_in == run:
            return
        self.said[run, sentence] = None
        messages.warn(self.line if sentence in self.line else f"{self.line} {sentence}".strip(), sentence, self.node)


def not_named(naming: Naming) -> str:
    """No prompt of a sampler whose model has the concept names it."""
    if naming.read:
        return (
            f"The concept {naming.word!r} has no effect here: none of this sampler's prompts names it. Write "
            f"{naming.word!r} in the prompt. If it is there, that prompt went elsewhere, or lost its mark in a node "
            "that makes encodings of its own: connect the encode node to this sampler directly, or use CLIP Text "
            "Encode."
        )
    return (
        f"The concept {naming.word!r} has no effect: no prompt encoded with this node's CLIP output names it. Write "
        f"{naming.word!r} in the prompt, and connect this node's CLIP output, not the loader's, to the encode node."
    )


def only_negative(naming: Naming) -> str:
    """A concept stands in a negative prompt alone, and the sampler reads none."""
    return (
        f"The concept {naming.word!r} has no effect here: only the negative prompt names it, and with a cfg of 1 a "
        f"sampler does not read it. Write {naming.word!r} in the positive prompt, or raise cfg."
    )


def not_applied(naming: Naming) -> str:
    """A prompt names a concept that the model which reads it does not have."""
    return (
        f"A prompt names the concept {naming.word!r}, but a model that does not have it reads that prompt, so the "
        "concept has no effect there. Connect this node's MODEL output to the sampler."
    )


def taken_away(naming: Naming) -> str:
    """What another node makes of the prompts inside the model holds nothing of the concept any more."""
    return (
        f"The concept {naming.word!r} had no effect: another node changes the prompts inside the model, and nothing of "
        f"the one that names it is left there. Write {naming.word!r} in the prompt that this node brings, or connect "
        "the model without it."
    )


def never_open(naming: Naming, scheduled: bool = False) -> str:
    """The schedule of a concept kept it out of a whole sampling run."""
    sentence = (
        f"The concept {naming.word!r} had no effect: no step of this sampler lies between its start_percent and "
        "end_percent"
    )
    if scheduled:
        return (
            f"{sentence} with a strength above 0 in its schedule. Widen them, raise the schedule's strength, or raise "
            "the sampler's denoise."
        )
    return f"{sentence}. Widen them, or raise the sampler's denoise."
