"""The words that captions are made of: enough of them, and none that is never used."""

from __future__ import annotations

import re
from collections import Counter

from perfusion_ops.text import caption_words
from perfusion_ops.text.captions import captions

LISTS = {name: value for name, value in vars(caption_words).items() if isinstance(value, tuple)}
CORPUS = captions()


def test_the_vocabulary_is_wide_and_every_listed_phrase_occurs():
    """The statistics see many words, and no list has an entry that is never used."""
    vocabulary = Counter(word for caption in CORPUS for word in re.findall(r"[\w'-]+", caption))
    assert len(vocabulary) > 2_200
    text = "\n".join(CORPUS)
    for name, phrases in LISTS.items():
        assert len(set(phrases)) == len(phrases), name
        assert not [phrase for phrase in phrases if phrase not in text], name
