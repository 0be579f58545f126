"""The gates' picture: the cell of the concept's word is coloured, long prompts break, and no letter is a box."""

from __future__ import annotations

import numpy as np
import pytest
import torch


@pytest.fixture
def table(pack):
    """``table(labels, gates)``: a prompt and one concept, ``teddy_t``."""

    def make(labels: list[str], gates: list[float]):
        gate_table = pack.gate_table
        tokens = tuple(
            gate_table.PromptToken(
                label, gate_table.TokenKind.WORD, "teddy_t" if label == "teddy_t" else "", chunk=n // 70
            )
            for n, label in enumerate(labels)
        )
        concept = gate_table.ConceptGates(
            "teddy_t",
            "bear",
            similarities=torch.tensor(gates),
            gates=torch.tensor(gates),
            kept=torch.zeros(len(gates), dtype=torch.bool),
        )
        return gate_table.GateTable(tokens, (concept,))

    return make


def blue(picture: torch.Tensor) -> int:
    """Pixels in the full colour of the first concept."""
    colour = torch.tensor([0x1D, 0x5F, 0xD1]) / 255
    return int(((picture[0, :200] - colour).abs().amax(-1) < 0.02).sum())


def test_a_cell_has_its_gates_colour(pack, table):
    """Which word is taken over is seen at a glance: its cell is full of colour, with a gate of 0 none is."""
    labels = ["a", "teddy_t", "runs"]
    taken = pack.gate_picture.gate_picture(table(labels, [0.0, 1.0, 0.0]))
    left = pack.gate_picture.gate_picture(table(labels, [0.0, 0.0, 0.0]))
    assert taken.shape == (1, *taken.shape[1:3], 3) and taken.dtype == torch.float32
    assert blue(taken) - blue(left) > 2000


def test_long_prompts_are_broken_and_not_cut(pack, table):
    """A prompt of several chunks has all its tokens in the picture, in bands one below the other."""
    drawn = _drawn(pack, table(["word"] * 20 + ["teddy_t"] + ["word"] * 129, [0.1] * 150))
    cells = [text for text in drawn if text[2] == "word"]
    assert len(cells) == 149
    assert max(x for x, *_ in cells) < 1500 and len({y for _, y, _ in cells}) > 3


def test_letters_that_no_font_has_are_replaced_by_the_tokens_number(pack, table, monkeypatch):
    """A prompt in any script is readable: no cell is headed by the box of a missing letter."""
    monkeypatch.setattr(pack.fonts, "SYSTEM_FONTS", ())
    drawn = [text for _, _, text in _drawn(pack, table(["\u718a", "teddy_t", "caf\u00e9"], [0.1, 0.9, 0.1]))]
    assert "#0" in drawn and "#2" in drawn and "teddy_t" in drawn
    assert all(text.isascii() for text in drawn)
    assert any("see the report" in text for text in drawn), "and it says where the letters are"


def test_a_missing_letter_would_be_noticed(pack, monkeypatch):
    """Negative control: a font that lacks a letter is not taken, and a text without a font is not drawn."""
    monkeypatch.setattr(pack.fonts, "SYSTEM_FONTS", ())
    assert pack.fonts.font_for("teddy", 20) and pack.fonts.font_for("\u718a", 20) is None
    canvas = pack.canvas.Canvas(20, 20, "#ffffff")
    canvas.text(0, 0, "\u718a", 20, "#000000")
    with pytest.raises(ValueError, match="No font can draw"):
        canvas.finish()


def test_a_broken_line_is_half_drawn(pack):
    """The two curves of a concept can be told apart: the broken one has as much gap as line."""

    def ink(name: str) -> float:
        canvas = pack.canvas.Canvas(300, 20, "#ffffff")
        getattr(canvas, name)([(0, 10), (100, 10), (300, 10)], "#000000", 4)
        return 255 - np.asarray(canvas.finish()).mean()

    assert ink("dashes") == pytest.approx(ink("line") / 2, rel=0.1)


def _drawn(pack, table) -> list[tuple[float, float, str]]:
    """Where the picture of a table has which text."""
    texts = []
    before = pack.canvas.Canvas.text

    def text(canvas, x, y, words, *others):
        texts.append((x, y, words))
        before(canvas, x, y, words, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack.canvas.Canvas, "text", text)
        pack.gate_picture.gate_picture(table)
    return texts
