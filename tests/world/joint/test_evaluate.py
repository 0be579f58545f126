"""What the joint world draws."""

from __future__ import annotations

import pytest
import torch

from pixelworld import art
from pixelworld.captions import Caption
from pixelworld.joint import evaluate
from pixelworld.joint.evaluate import rendered, share_right
from pixelworld.joint.world import draw, the_joint_world

pytestmark = pytest.mark.host


def test_the_committed_weights_draw_most_of_what_a_caption_names(comfyui_path):
    """A concept's mistakes are its own, not the world's."""
    places = [*art.PLACES, *art.PLACES]
    captions = [Caption(word, place=places[number]) for number, word in enumerate(art.SPRITES)]
    pictures = draw(the_joint_world(), [caption.text() for caption in captions], list(range(len(captions))), steps=8)
    assert share_right(captions, rendered(captions)) == 1
    assert share_right(captions, pictures) > 0.7


def test_three_figures_are_asked_for_in_a_picture_wide_enough(comfyui_path, monkeypatch):
    """That this world does not draw three is no matter of room."""
    asked = []

    def drawn(world, texts, seeds, width):
        asked.append((len(texts), width, "in the middle" in texts[0]))
        return torch.zeros(len(texts), art.SIZE, width, 3)

    monkeypatch.setattr(evaluate, "draw", drawn)
    monkeypatch.setattr(evaluate, "leakage_rate", lambda *how: ("", 0.0, 2))
    rows = evaluate.ceilings(None, 2)
    assert asked == [(2, 16, False)] * 3 + [(2, 24, False), (2, 24, True)]
    assert [name for name, _, _ in rows][-1] == "three classes, positions named, all drawn"
