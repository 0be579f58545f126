"""Our own caption corpus for text statistics: things, people, places, styles and actions."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterable, Sequence

from . import caption_words as words

DEFAULT_COUNT = 20_000
MIN_WORDS, MAX_WORDS = 3, 25
_TRIES_PER_CAPTION = 20
_STUTTER = re.compile(r"\b(\S+) \1\b")


def captions(count: int = DEFAULT_COUNT, seed: int = 0) -> list[str]:
    """``count`` distinct captions of 3 to 25 words; a smaller corpus of the same seed is the start of a larger one.

    The same on every platform and Python version. Raises ValueError for more captions than the lists can make.
    """
    writer, corpus = _Writer(seed), dict[str, None]()
    for _ in range(_TRIES_PER_CAPTION * count):
        if len(corpus) == count:
            break
        caption = writer.caption()
        if MIN_WORDS <= len(caption.split()) <= MAX_WORDS and not _STUTTER.search(caption):
            corpus[caption] = None
    if len(corpus) < count:
        raise ValueError(
            f"The word lists gave {len(corpus):,} distinct captions; {count:,} were asked for. Ask for fewer."
        )
    return list(corpus)


def corpus_fingerprint(corpus: Iterable[str]) -> str:
    """16 hex digits that name a corpus: its captions in their order."""
    return hashlib.sha256("\n".join(corpus).encode()).hexdigest()[:16]


class _Writer:
    """Draws captions. ``random()`` is the one method of random.Random whose stream Python promises to keep."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed).random
        forms = {
            self._plain: 4,
            self._scene: 5,
            self._picture: 6,
            self._tagged: 5,
            self._sentence: 3,
            self._pair: 3,
            self._many: 3,
            self._place: 3,
            self._owned: 1,
        }
        self._forms: list[Callable[[], str]] = [form for form, weight in forms.items() for _ in range(weight)]

    def caption(self) -> str:
        return self._pick(self._forms)()

    def _pick(self, options: Sequence):
        return options[int(self._draw() * len(options))]

    def _maybe(self, chance: float, text: str) -> str:
        return text if self._draw() < chance else ""

    # Noun phrases. Each draws an adjective or two, so that words meet in many contexts.

    def _thing_adjectives(self) -> str:
        kinds = (words.SIZES, words.CONDITIONS, words.COLOURS, words.MATERIALS)
        first = int(self._draw() * 7)
        chosen = [self._pick(kinds[first])] if first < 4 else []
        if first < 2 and self._draw() < 0.3:
            chosen.append(self._pick(words.COLOURS))
        return " ".join(chosen)

    def _animal(self) -> str:
        return _joined(self._maybe(0.6, self._pick(words.MOODS + words.COLOURS[:12])), self._pick(words.ANIMALS))

    def _person(self) -> str:
        dressed = self._maybe(0.25, f"wearing {self._pick(words.CLOTHES)}")
        return _joined(self._maybe(0.5, self._pick(words.PERSON_ADJECTIVES)), self._pick(words.PEOPLE), dressed)

    def _thing(self) -> str:
        return _joined(self._thing_adjectives(), self._pick(words.THINGS))

    def _vehicle(self) -> str:
        return _joined(self._thing_adjectives(), self._pick(words.VEHICLES))

    def _building(self) -> str:
        return _joined(self._maybe(0.6, self._pick(words.CONDITIONS + words.SIZES[:8])), self._pick(words.BUILDINGS))

    def _plant(self) -> str:
        return _joined(self._maybe(0.5, self._pick(words.COLOURS + words.SIZES)), self._pick(words.PLANTS))

    def _dish(self) -> str:
        return _joined(self._maybe(0.3, self._pick(words.TASTES)), self._pick(words.DISHES))

    def _noun(self) -> str:
        """A noun phrase without its article."""
        kinds = (self._thing,) * 5 + (self._animal,) * 4 + (self._person,) * 4
        return self._pick((*kinds, self._vehicle, self._vehicle, self._building, self._plant, self._dish))()

    # Doing, being somewhere, at some time.

    def _actor(self) -> tuple[str, str]:
        """(noun phrase without article, what it does), the action in keeping with the noun."""
        actors = (
            (self._animal, words.ANIMAL_ACTIONS),
            (self._person, words.PERSON_ACTIONS),
            (self._person, words.PERSON_ACTIONS),
            (self._vehicle, words.VEHICLE_ACTIONS),
            (self._thing, words.THING_STATES),
        )
        noun, actions = self._pick(actors)
        return noun(), self._pick(actions)

    def _setting(self) -> str:
        kind = int(self._draw() * 4)
        if kind == 3:
            return f"in {self._pick(words.CITIES)}"
        if kind == 2:
            adjective = self._maybe(0.4, self._pick(words.CONDITIONS))
            return f"on {_a(_joined(adjective, self._pick(words.SURFACES + words.GROUNDS)))}"
        adjective = self._maybe(0.5, self._pick(words.PLACE_ADJECTIVES))
        return f"in {_a(_joined(adjective, self._pick((words.INDOORS, words.OUTDOORS)[kind])))}"

    def _time(self) -> str:
        return self._pick(words.TIMES)

    # Forms of captions.

    def _plain(self) -> str:
        return _joined(_a(self._noun()), self._maybe(0.5, self._setting()))

    def _scene(self) -> str:
        noun, action = self._actor()
        return _joined(_a(noun), action, self._maybe(0.6, self._setting()), self._maybe(0.4, self._time()))

    def _picture(self) -> str:
        medium = _joined(self._maybe(0.3, self._pick(words.STYLES)), self._pick(words.MEDIA))
        rest = self._pick((self._scene, self._plain, self._pair, self._many, self._place))()
        return f"{_a(medium)} of {rest}"

    def _tagged(self) -> str:
        rest = self._pick((self._scene, self._plain, self._place, self._pair))()
        tags = [f"{self._pick(words.STYLES)} style"] if self._draw() < 0.6 else []
        tags += dict.fromkeys(self._pick(words.DETAILS) for _ in range(1 + int(self._draw() * 4)))
        return ", ".join([rest, *tags])

    def _sentence(self) -> str:
        noun, action = self._actor()
        where = self._setting() if self._draw() < 0.7 else self._time()
        return f"the {noun} is {action} {where}."

    def _pair(self) -> str:
        relation = self._pick((*words.RELATIONS, "and", "and", "and", "with"))
        return _joined(_a(self._noun()), relation, _a(self._noun()), self._maybe(0.5, self._setting()))

    def _many(self) -> str:
        kinds = (
            (words.THINGS, words.COLOURS + words.CONDITIONS + words.MATERIALS),
            (words.ANIMALS, words.MOODS),
            (words.PEOPLE, words.PERSON_ADJECTIVES),
            (words.VEHICLES, words.COLOURS + words.CONDITIONS),
            (words.PLANTS, words.COLOURS + words.SIZES),
            (words.DISHES, words.TASTES),
        )
        nouns, adjectives = self._pick(kinds)
        adjective, noun = self._maybe(0.6, self._pick(adjectives)), self._pick(nouns)
        where = self._setting() if self._draw() < 0.7 else self._time()
        return _joined(self._pick(words.NUMBERS), adjective, _plural(noun), where)

    def _place(self) -> str:
        scenery = self._pick((words.OUTDOORS, words.INDOORS, words.BUILDINGS, words.GROUNDS))
        place = _joined(self._pick(words.PLACE_ADJECTIVES), self._pick(scenery))
        view = self._maybe(0.3, self._pick(("a view of", "the inside of", "a map of", "people gathering near")))
        city = self._maybe(0.3, f"in {self._pick(words.CITIES)}")
        return _joined(view, _a(place), city, self._maybe(0.6, self._time()))

    def _owned(self) -> str:
        belonging = self._pick((self._thing, self._vehicle, self._dish, self._plant))()
        return _joined(self._pick(words.OWNERS), belonging, self._setting(), self._maybe(0.3, self._time()))


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _a(phrase: str) -> str:
    """The phrase after its indefinite article."""
    vowel = phrase[0].lower() in "aeiou" and not phrase.startswith(words.CONSONANT_SOUNDS)
    vowel = vowel or phrase.startswith(words.SILENT_BEGINNINGS)
    return f"{'an' if vowel else 'a'} {phrase}"


def _plural(noun: str) -> str:
    """``slice of pizza`` -> ``slices of pizza``: the head noun in the plural."""
    head, of, rest = noun.partition(" of ")
    *before, last = head.split(" ")
    if last in words.IRREGULAR_PLURALS:
        last = words.IRREGULAR_PLURALS[last]
    elif re.search("(s|x|z|ch|sh)$", last):
        last += "es"
    elif re.search("[^aeiou]y$", last):
        last = last[:-1] + "ies"
    else:
        last += "s"
    return " ".join([*before, last]) + of + rest
