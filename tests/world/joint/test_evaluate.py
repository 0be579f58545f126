"""What the joint world draws."""

from __future__ import annotations

import pytest

from pixelworld import art
from pixelworld.captions import Caption
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
