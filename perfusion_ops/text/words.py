"""Where a prompt names concept words: in any script, in any of Unicode's spellings of the same word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

ZERO_WIDTH_SPACE, ZERO_WIDTH_JOINER = "\u200b", "\u200d"

_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Characters that show nothing: Unicode's Default_Ignorable_Code_Point."""

_EXTENDING = re.compile("[\u1160-\u11ff\ud7b0-\ud7ff\uff9e\uff9f\U0001f3fb-\U0001f3ff]")
"""Beside combining marks, what belongs to the character before it: Hangul vowels and finals, half-width voiced marks,
skin tones."""

_WITHOUT_SPACES = re.compile(
    "[\u0e00-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u1b00-\u1b7f\u2e80-\ua4cf\ua960-\ua9ff\uaa60-\uaadf"
    "\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc\U00011700-\U0001174f\U00016fe0-\U00018dff\U0001aff0-\U0001b2ff"
    "\U00020000-\U0003ffff]"
)
"""Scripts whose words stand side by side: what Unicode's line breaking (UAX 14) breaks without a space. In order: Thai,
Lao, Tibetan, Burmese; Hangul; Khmer; Tai; Balinese; Han, Kana, Bopomofo and Yi; Javanese; more of each. Hangul is among
them because Korean writes its particles on to the noun."""

_SAME = str.maketrans(dict.fromkeys("\u2018\u2019\u201b\u02bc", "'") | dict.fromkeys("\u2010\u2011", "-"))
"""Typographic apostrophes and hyphens are the straight ones."""


class FoundWord(NamedTuple):
    """A concept word in a text, from ``start`` up to ``end``, which counts what combines with its last character."""

    start: int
    end: int
    word: str


class _Character(NamedTuple):
    """What a reader sees as one character: a base, the marks on it, and what shows nothing."""

    start: int
    text: str
    folded: str

    @property
    def in_words(self) -> bool:
        base = self.text[0]
        return self.folded == "_" or (
            self.folded != "'" and (base.isalnum() or unicodedata.category(base).startswith("M"))
        )

    @property
    def without_spaces(self) -> bool:
        return _WITHOUT_SPACES.match(self.text) is not None


def find_words(text: str, words: Iterable[str]) -> list[FoundWord]:
    """Where ``text`` names ``words``, from left to right, the longest one that fits at each place.

    Spellings are compared as Unicode's compatible caseless matching does. A word is not found inside a longer word:
    beside a letter, a digit or a mark of a script that separates words by spaces, or beside an underscore.
    """
    characters = _characters(text)
    folded, starts, ends = "", {}, {}
    for number, character in enumerate(characters):
        if character.folded:
            starts[len(folded)] = number
            folded += character.folded
            ends[len(folded)] = number
    patterns = _patterns(tuple(words))
    found, position = [], 0
    for index, first in starts.items():
        if index < position or _joined(characters, first, first - 1):
            continue
        for word, pattern in patterns:
            match = pattern.match(folded, index)
            last = ends.get(match.end()) if match else None
            if last is not None and not _joined(characters, last, last + 1):
                position = match.end()
                found.append(FoundWord(characters[first].start, _end(characters[last]), word))
                break
    return found


def fold_word(word: str) -> str:
    """What all spellings of a word have in common; empty for one that shows nothing."""
    return "".join(character.folded for character in _characters(" ".join(word.split()))).strip()


@lru_cache(maxsize=64)
def _patterns(words: tuple[str, ...]) -> list[tuple[str, re.Pattern]]:
    """Each word and its folded spelling with any white space between its parts, the longest first."""
    folded = sorted(((fold_word(word), word) for word in words), key=lambda pair: (-len(pair[0]), pair))
    return [(word, re.compile(" +".join(map(re.escape, form.split())))) for form, word in folded if form]


def _characters(text: str) -> list[_Character]:
    """``text`` in pieces that together are all of it. A zero-width space stands alone: it separates words."""
    begins = [index for index, one in enumerate(text) if index == 0 or not _extends(one, text[index - 1])]
    pieces = pairwise([*begins, len(text)])
    return [_Character(begin, text[begin:end], _folded(text[begin:end])) for begin, end in pieces]


def _extends(one: str, before: str) -> bool:
    """Whether ``one`` belongs to the same character as ``before``."""
    if ZERO_WIDTH_SPACE in (one, before):
        return False
    return bool(_EXTENDING.match(one) or _IGNORABLE.match(one)) or unicodedata.category(one).startswith("M")


@lru_cache(maxsize=4096)
def _folded(character: str) -> str:
    """Compatible caseless matching of Unicode (D146), composed; white space is one space each."""
    visible = _IGNORABLE.sub("", character)
    if visible.isspace():
        return " "
    folded = unicodedata.normalize("NFD", visible)
    for _ in range(2):
        folded = unicodedata.normalize("NFKC", folded.casefold())
    if " " in folded:
        folded = unicodedata.normalize("NFC", visible.casefold())
    # In Turkish the capital of i has a dot, and that of the i without a dot has none: one letter in any case.
    return folded.replace("i\u0307", "i").replace("\u0131", "i").translate(_SAME)


def _joined(characters: list[_Character], edge: int, neighbour: int) -> bool:
    """Whether the character at a found word's edge goes on in its neighbour, so that the word is a longer one."""
    if not 0 <= neighbour < len(characters):
        return False
    inside, outside = characters[edge], characters[neighbour]
    former, latter = sorted((inside, outside))
    if former.text.endswith(ZERO_WIDTH_JOINER) and unicodedata.category(latter.text[0]) == "So":
        return True
    if not (inside.in_words and outside.in_words):
        return False
    return outside.folded == "_" or not (inside.without_spaces or outside.without_spaces)


def _end(character: _Character) -> int:
    return character.start + len(character.text)
