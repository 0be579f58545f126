"""Which tokens of a prompt a word became, for vocabularies that read a word by what stands beside it."""

from __future__ import annotations

from collections.abc import Sequence
from os.path import commonprefix


def spans_of(vocabulary, text: str, places: Sequence[tuple[int, int]], **kwargs) -> tuple[list[int], list[list[int]]]:
    """Ids of ``text``, and of each place (first letter, last letter + 1) the tokens that hold a letter of it."""
    try:
        answer = vocabulary(text, return_offsets_mapping=True, **kwargs)
        ids, letters = list(answer["input_ids"]), answer["offset_mapping"]
    except (KeyError, NotImplementedError, TypeError):
        ids = list(vocabulary(text)["input_ids"])
        return ids, [_between(vocabulary, text, ids, *place) for place in places]
    held = [
        [n for n, (first, last) in enumerate(letters) if first < end and last > max(first, start)]
        for start, end in places
    ]
    return ids, held


def place_of(token: int, tokens: Sequence, start: int = 0) -> int:
    """The first place of an id among ``tokens`` from ``start`` on; vectors among them, as of embeddings, are none.

    Raises StopIteration if there is none.
    """
    return next(n for n in range(start, len(tokens)) if isinstance(tokens[n], int) and tokens[n] == token)


def specials_of(vocabulary) -> tuple[list[int], list[int]]:
    """Ids that a vocabulary puts before every text, and those that it puts behind: both, one or neither may be none."""
    both = list(vocabulary("")["input_ids"])
    start = len(commonprefix([both, list(vocabulary("a")["input_ids"])]))
    return both[:start], both[start:]


def _between(vocabulary, text: str, ids: list[int], start: int, end: int) -> list[int]:
    """The tokens that neither the text before nor the text after accounts for: never too few of them.

    For vocabularies that do not say which letters a token holds, such as sentencepiece's in the host.
    """
    before = list(vocabulary(text[:start].rstrip())["input_ids"])
    after = list(vocabulary(text[end:])["input_ids"])
    first = len(commonprefix([ids, before]))
    last = len(ids) - len(commonprefix([ids[::-1], after[::-1]]))
    return list(range(min(first, last), max(first, last)))
