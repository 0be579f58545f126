"""File names that Windows, macOS and Linux all take, and that mean one file however a word's accents are typed."""

from __future__ import annotations

import unicodedata

MAX_BYTES = 255
"""Of a name in UTF-8, in the file systems of Linux; those of Windows and macOS take no shorter ones."""
REFUSED = '\\/:*?"<>|'
JOINERS = "\u200c\u200d"
"""Invisible, and part of words in Persian and Hindi, and of emoji."""
RESERVED = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³")]
)
"""Devices in Windows, whatever the ending behind them."""


def normal(name: str) -> str:
    """The one spelling (NFC) of a name; macOS hands over names with their accents apart."""
    return unicodedata.normalize("NFC", name)


def is_safe(name: str) -> bool:
    """Whether every system takes ``name``, in its one spelling, as a file or a folder."""
    return (
        bool(name)
        and name == name.strip(". ")
        and not any(c in REFUSED or not _is_visible(c) for c in name)
        and name.partition(".")[0].strip().casefold() not in RESERVED
    )


def readable(word: str) -> str:
    """``word`` as part of a file name: its letters, marks, numbers and symbols.

    Anything else becomes ``_``, so two words may look alike here: something else must tell their files apart.
    """
    return "".join(c if _is_kept(c) else "_" for c in normal(word))


def _is_kept(character: str) -> bool:
    return character in "-_" or character in JOINERS or (
        unicodedata.category(character)[0] in "LMNS" and character not in REFUSED
    )


def _is_visible(character: str) -> bool:
    """Not of controls, of what turns the writing around, of halves of characters, or of what is no character yet."""
    return character in JOINERS or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp")
