"""Names of files: of any script and any emoji, the same on every system, and never two names for one file."""

from __future__ import annotations

import unicodedata

import pytest

FAMILY = "👨\u200d👩\u200d👧"
WORDS = ("हिन्दी", "เด็ก", "Zoë", "☂️", FAMILY, "5€", "naïve_3", "👍🏽")
UNSEEN = ("rex.", " rex", "a\x7fb", "a\u202eb", "a\ud800b")


@pytest.fixture
def names(pack):
    return pack.file_names


@pytest.mark.parametrize("word", WORDS)
def test_words_of_every_script_and_emoji_keep_their_signs(names, word):
    """Who names a subject in Hindi, Thai or emoji would find only underscores in the list of trained concepts."""
    assert names.readable(word) == unicodedata.normalize("NFC", word) and names.is_safe(word)


def test_accents_typed_apart_are_the_same_name(names):
    """A name typed on macOS would make a second file that looks the same."""
    apart = unicodedata.normalize("NFD", "Zoë")
    assert apart != "Zoë" and names.readable(apart) == names.normal(apart) == "Zoë"


@pytest.mark.parametrize("name", ["CON", "nul", "Aux", "com1", "LPT9.txt", "COM¹", "con .x", *UNSEEN])
def test_names_that_some_system_does_not_take_are_refused(names, name):
    """The concept could not be copied to a Windows machine, or would hide how it is called."""
    assert not names.is_safe(name)


@pytest.mark.parametrize("name", ["console", "contour", "nullarbor", "com", "com10", "my CON"])
def test_names_that_only_begin_like_a_device_are_taken(names, name):
    """A name that every system takes would be refused for a likeness."""
    assert names.is_safe(name)
