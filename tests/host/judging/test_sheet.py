"""Sheets of pictures: their words can be read in any script."""

from __future__ import annotations

import pytest
import torch
from PIL import ImageDraw


def words_of(pack, monkeypatch, title: str, label: str) -> list[tuple[str, object]]:
    """Every text that a sheet is given to draw, and the font that draws it."""
    drawn, plain = [], ImageDraw.ImageDraw.text

    def text(self, corner, text, fill, font, *rest):
        drawn.append((text, font))
        return plain(self, corner, text, fill, font, *rest)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    picture = torch.zeros(16, 16, 3)
    cells = [pack.sheet.Cell(picture, "identity 0.5 · agreement 0.5"), pack.sheet.Cell(picture)]
    pack.sheet.sheet(title, ["bias 0.3", ""], [pack.sheet.Row(label, cells)])
    return [each for each in drawn if each[0]]


def test_words_in_a_script_that_no_font_has_are_marked_and_the_others_stay(pack, monkeypatch):
    """A sheet without a fitting font shows what is missing, and no boxes."""
    monkeypatch.setattr(pack.fonts, "SYSTEM_FONTS", ())
    texts = [text for text, _ in words_of(pack, monkeypatch, "a photo of \u30e2\u30e2 on a beach", "\u718a")]
    assert texts[0] == "a photo of ??? on a beach" and "???" in texts[1:]
    assert any(text.startswith("identity 0.5 ·") for text in texts), "what PIL's own font has is drawn as it is"


def test_words_in_another_script_are_drawn_by_a_font_that_has_them(pack, monkeypatch):
    """A concept whose word is not in Latin letters is named on the sheet by its word."""
    if not pack.fonts.font_for("\u041c\u0443\u0440\u043a\u0430", 13):
        pytest.skip("no font of this machine has Cyrillic letters")
    drawn = words_of(pack, monkeypatch, "a photo of \u041c\u0443\u0440\u043a\u0430", "bias")
    fonts = {text: font.getname() for text, font in drawn}
    assert fonts["a photo of \u041c\u0443\u0440\u043a\u0430"] != fonts["bias"]
