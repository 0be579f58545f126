"""Text that is always legible: PIL's own font, one of the system's where that lacks a letter, or the caller's words."""

from __future__ import annotations

import unicodedata
from functools import cache

from PIL import ImageFont, features

SYSTEM_FONTS = (
    *("NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf", "LiberationSans-Regular.ttf"),
    *("msyh.ttc", "YuGothM.ttc", "malgun.ttf", "segoeui.ttf", "arial.ttf", "seguisym.ttf"),
    *("PingFang.ttc", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc", "Arial Unicode.ttf"),
)
"""Fonts of Linux, Windows and macOS, tried in turn. None is needed: PIL's own font holds ASCII and no more."""
UNREADABLE = "???"
NO_LETTER = "\uffff"
"""Unicode promises that this is no letter, so every font draws its sign for a missing one."""


def font_for(text: str, size: int):
    """A font that has every letter of ``text``; none when there is no such font."""
    if _needs_shaping(text) and not features.check("raqm"):
        return None
    names = (None, *SYSTEM_FONTS)
    return next((font for name in names if (font := _font(name, size)) and _has_letters(name, size, text)), None)


def legible(text: str, instead: str, size: int) -> str:
    """``text``, or ``instead`` (ASCII) where no font can draw it."""
    return text if font_for(text, size) else instead


def readable(text: str, size: int) -> str:
    """``text``, with ??? for each word that PIL's own font lacks where no font has all the letters."""
    if font_for(text, size):
        return text
    return " ".join(word if _has_letters(None, size, word) else UNREADABLE for word in text.split(" "))


def width_of(text: str, size: int) -> int:
    """Pixels that ``text`` takes from left to right."""
    font = font_for(text, size) or _font(None, size)
    return round(font.getlength(text))


def shortened(text: str, size: int, width: int) -> str:
    """``text``, cut with dots where it is wider than ``width`` pixels."""
    if width_of(text, size) <= width:
        return text
    while text and width_of(f"{text}...", size) > width:
        text = text[:-1]
    return f"{text}..."


def wrapped(text: str, size: int, width: int) -> list[str]:
    """``text``, readable by one font, in lines broken between words: wider than ``width`` pixels is one word at most.
    """
    lines, text = [""], readable(text, size)
    font = font_for(text, size)
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _needs_shaping(text: str) -> bool:
    """Whether letters change by their neighbours or run from right to left, which PIL draws only with Raqm."""
    return any(unicodedata.bidirectional(c) in ("R", "AL") or unicodedata.category(c).startswith("M") for c in text)


@cache
def _font(name: str | None, size: int):
    if name is None:
        return ImageFont.load_default(size)
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


@cache
def _has_letters(name: str | None, size: int, text: str) -> bool:
    missing = _shape(name, size, NO_LETTER)
    return all(letter.isspace() or _shape(name, size, letter) != missing for letter in text)


@cache
def _shape(name: str | None, size: int, letter: str) -> tuple:
    mask = _font(name, size).getmask(letter)
    return mask.size, bytes(mask)
