"""Captions as programs: a caption names some of a scene's attributes; every scene that has those is a picture of it."""
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np

from . import art
from .known import NAMES, known_individuals
from .scene import Figure, Scene
from .traits import Traits, sample_traits

OPENINGS = ("a photo of a", "a picture of a", "a painting of a", "a")
POSITION_PHRASES = {"left": "on the left", "middle": "in the middle", "right": "on the right"}
OPPOSITE = {"left": "right", "right": "left"}
"""Where the other of two figures stands, or the last of three."""
FIRST_ON_LEFT = 0.8
"""How often the figure named first is the one on the left, where no word says so."""


@dataclass(frozen=True)
class Caption:
    """The attributes a caption names; None where it leaves one open. `partner` and `third` are further classes.

    `position` is the first figure's; the last of them stands opposite, a third one makes the partner stand in the
    middle, and the caption says so of all. `name`, `partner_name` and `third_name` are those of known individuals,
    written in place of their classes.
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
    third: str | None = None
    third_name: str | None = None

    def figures(self) -> list[tuple[str, str | None]]:
        """Class and name of every figure, as the sentence has them."""
        further = [(self.partner, self.partner_name), (self.third, self.third_name)]
        return [(self.class_word, self.name), *(figure for figure in further if figure[0])]

    def positions(self) -> list[str | None]:
        """Of every figure, where the sentence says that it stands."""
        if not (self.position and self.partner):
            return [self.position] * len(self.figures())
        between = ["middle"] if self.third else []
        return [self.position, *between, OPPOSITE[self.position]]

    def text(self, *words: str | None) -> str:
        """The sentence, with `words` in place of the superclasses where given."""
        named = [word or name or kind for (kind, name), word in zip_longest(self.figures(), words, fillvalue=None)]
        places = [POSITION_PHRASES.get(position, "") for position in self.positions()]
        parts = [self.opening, named[0]]
        if self.accessory:
            parts.append(f"wearing a {self.accessory}")
        if self.partner:
            further = zip(named[1:], places[1:], strict=True)
            parts += [places[0], *(f"and a {word} {at}".strip() for word, at in further)]
        phrases = [
            "" if self.partner else places[0],
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


def together(words: Sequence[str], names: Sequence[str | None] = (), **fields) -> Caption:
    """The caption of two or three classes, called by `names` where these are given."""
    first, partner, third = (*words, None)[:3]
    name, partner_name, third_name = (*names, None, None, None)[:3]
    further = {"partner": partner, "partner_name": partner_name, "third": third, "third_name": third_name}
    return Caption(first, name=name, **further, **fields)


def sample_three(rng: np.random.RandomState, known: float = 0.0) -> Caption:
    """A caption of three figures of different classes; half of them say who stands where, nearly all name a place."""
    words = [str(word) for word in rng.permutation(list(art.SPRITES))[:3]]
    return together(
        words,
        [_known_name(rng, word, known) for word in words],
        opening=_pick(rng, OPENINGS),
        place=_pick(rng, art.PLACES) if rng.rand() < 0.9 else None,
        position=_pick(rng, OPPOSITE) if rng.rand() < 0.5 else None,
    )


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


def _free_position(rng: np.random.RandomState, company: bool) -> str:
    """Of the first figure, when the caption does not say."""
    if company:
        return "left" if rng.rand() < FIRST_ON_LEFT else "right"
    return _pick(rng, art.POSITIONS)


def _jitter(rng: np.random.RandomState) -> tuple[int, int]:
    return int(rng.randint(2)), int(rng.randint(2))


def sample_scene(caption: Caption, rng: np.random.RandomState) -> Scene:
    """A scene with everything the caption names; the rest by chance, accessories and second objects seldom.

    Three figures stand in a picture of art.WIDE columns.
    """
    pair = caption.partner is not None
    position = caption.position or _free_position(rng, pair)
    accessory = caption.accessory or (_pick(rng, art.ACCESSORIES) if rng.rand() < 0.15 else None)
    standing = zip(caption.figures(), replace(caption, position=position).positions(), strict=True)
    figures = [Figure(word, _traits(rng, name), at, None, _jitter(rng)) for (word, name), at in standing]
    figures[0] = replace(figures[0], accessory=accessory)
    object_ = caption.object or (_pick(rng, art.OBJECTS) if not pair and rng.rand() < 0.15 else None)
    return Scene(
        tuple(figures),
        caption.place or _pick(rng, art.PLACES),
        int(rng.randint(art.VARIANTS)),
        object_,
        (caption.object_colour or _pick(rng, art.NAMED_COLOURS)) if object_ else None,
        position == "right" or (position == "middle" and rng.rand() < 0.5),
        art.width_for(len(figures)),
    )


def all_words() -> list[str]:
    """Every word a caption can hold."""
    text = [*OPENINGS, *POSITION_PHRASES.values(), *(phrase for phrase, _ in art.PLACES.values())]
    text += [*art.SPRITES, *art.ACCESSORIES, *art.OBJECTS, *art.NAMED_COLOURS, "wearing and with", *known_individuals()]
    return sorted({word for phrase in text for word in phrase.split()})
