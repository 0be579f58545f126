"""Captions as programs: a caption names some of a scene's attributes; every scene that has those is a picture of it."""
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from . import art
from .known import NAMES, known_individuals
from .scene import Figure, Scene
from .traits import Traits, sample_traits

OPENINGS = ("a photo of a", "a picture of a", "a painting of a", "a")
POSITION_PHRASES = {"left": "on the left", "middle": "in the middle", "right": "on the right"}
OPPOSITE = {"left": "right", "right": "left"}
"""Where the other of two figures stands."""


@dataclass(frozen=True)
class Caption:
    """The attributes a caption names; None where it leaves one open. `partner` is the second figure's class.

    `position` is the first figure's; a partner stands opposite, and the caption says both. `name` and `partner_name`
    are those of known individuals, written in place of their classes.
    """

    class_word: str
    opening: str = OPENINGS[0]
    place: str | None = None
    position: str | None = None
    accessory: str | None = None
    object: str | None = None
    object_colour: str | None = None
    partner: str | None = None
    order: tuple[int, int, int] = (0, 1, 2)
    """Order of the position, place and object phrases."""
    name: str | None = None
    partner_name: str | None = None

    def text(self, word: str | None = None, partner_word: str | None = None) -> str:
        """The sentence, with `word` and `partner_word` in place of the class words where given."""
        parts = [self.opening, word or self.name or self.class_word]
        if self.accessory:
            parts.append(f"wearing a {self.accessory}")
        position = POSITION_PHRASES.get(self.position, "")
        if self.partner:
            other = POSITION_PHRASES.get(OPPOSITE.get(self.position), "")
            parts += [position, f"and a {partner_word or self.partner_name or self.partner}", other]
        phrases = [
            "" if self.partner else position,
            art.PLACES[self.place][0] if self.place else "",
            " ".join(["with a", *filter(None, [self.object_colour, self.object])]) if self.object else "",
        ]
        return " ".join(filter(None, parts + [phrases[index] for index in self.order]))


def _pick(rng: np.random.RandomState, options) -> str:
    return list(options)[rng.randint(len(options))]


def sample_caption(
    rng: np.random.RandomState, named: float = 0.5, pairs: float = 0.25, known: float = 0.0
) -> Caption:
    """A caption that names each attribute with probability `named`, and two figures with probability `pairs`.

    Each figure is with probability `known` an individual called by its name.
    """
    pair = rng.rand() < pairs
    class_word = _pick(rng, art.SPRITES)
    with_object = not pair and rng.rand() < named
    positions = ("left", "right") if pair else art.POSITIONS
    caption = Caption(
        class_word,
        opening=_pick(rng, OPENINGS),
        place=_pick(rng, art.PLACES) if rng.rand() < named else None,
        position=_pick(rng, positions) if not pair and rng.rand() < named else None,
        accessory=_pick(rng, art.ACCESSORIES) if rng.rand() < named else None,
        object=_pick(rng, art.OBJECTS) if with_object else None,
        object_colour=_pick(rng, art.NAMED_COLOURS) if with_object and rng.rand() < 0.6 else None,
        partner=_pick(rng, [word for word in art.SPRITES if word != class_word]) if pair else None,
        order=tuple(int(index) for index in rng.permutation(3)),
    )
    if not known:
        return caption
    name, partner_name = (_known_name(rng, word, known) for word in (caption.class_word, caption.partner))
    return replace(caption, name=name, partner_name=partner_name)


def with_positions(captions: Iterable[Caption]) -> list[Caption]:
    """Of the captions that name two figures, each once more, saying which is on the left and which on the right."""
    return [
        replace(caption, position=("left", "right")[number % 2])
        for number, caption in enumerate(caption for caption in captions if caption.partner)
    ]


def _known_name(rng: np.random.RandomState, class_word: str | None, known: float) -> str | None:
    return _pick(rng, NAMES[class_word]) if class_word and rng.rand() < known else None


def _traits(rng: np.random.RandomState, name: str | None) -> Traits:
    return known_individuals()[name][1] if name else sample_traits(rng)


def _jitter(rng: np.random.RandomState) -> tuple[int, int]:
    return int(rng.randint(2)), int(rng.randint(2))


def sample_scene(caption: Caption, rng: np.random.RandomState) -> Scene:
    """A scene with everything the caption names; the rest by chance, accessories and second objects seldom."""
    pair = caption.partner is not None
    position = caption.position or _pick(rng, ("left", "right") if pair else art.POSITIONS)
    accessory = caption.accessory or (_pick(rng, art.ACCESSORIES) if rng.rand() < 0.15 else None)
    figures = [Figure(caption.class_word, _traits(rng, caption.name), position, accessory, _jitter(rng))]
    if pair:
        traits = _traits(rng, caption.partner_name)
        figures.append(Figure(caption.partner, traits, OPPOSITE[position], None, _jitter(rng)))
    object_ = caption.object or (_pick(rng, art.OBJECTS) if not pair and rng.rand() < 0.15 else None)
    return Scene(
        tuple(figures),
        caption.place or _pick(rng, art.PLACES),
        int(rng.randint(art.VARIANTS)),
        object_,
        (caption.object_colour or _pick(rng, art.NAMED_COLOURS)) if object_ else None,
        position == "right" or (position == "middle" and rng.rand() < 0.5),
    )


def all_words() -> list[str]:
    """Every word a caption can hold."""
    text = [*OPENINGS, *POSITION_PHRASES.values(), *(phrase for phrase, _ in art.PLACES.values())]
    text += [*art.SPRITES, *art.ACCESSORIES, *art.OBJECTS, *art.NAMED_COLOURS, "wearing and with", *known_individuals()]
    return sorted({word for phrase in text for word in phrase.split()})
