"""The concept beside nodes that change, inside the model, which prompts the layers read."""

from __future__ import annotations

import numpy as np
import pytest

from builders.scenes import PLAIN, PROMPT, Scene
from builders.workflows import mean_difference

SAME = 0.1
"""Grey levels: the gates of a changed prompt are read from its marks, which are rounded."""


def picture(draw, edited: bool, first: str = PROMPT, second: str | None = None, **changes):
    """By a node that joins ``second`` to the prompt ``first``; without it, by one that takes keys and values in turn.
    """
    scene = Scene(edited)
    scene.apply(**changes)
    positive, negative = scene.prompt(first), scene.prompt("blurry")
    if second is None:
        given = {"positive": positive, "negative": negative}
        node = scene.graph.add("HelperKeysAndValues", model=scene.model, **given)
        scene.model, positive, negative = node[0], node[1], node[2]
    else:
        scene.model = scene.graph.add("HelperJoinedPrompt", model=scene.model, second=scene.prompt(second))[0]
    return draw(*scene.finish(positive, negative))


def alone(draw, edited: bool, text: str = PROMPT, **changes):
    scene = Scene(edited)
    scene.apply(**changes)
    return draw(*scene.finish(scene.prompt(text)))


@pytest.mark.parametrize("second", [None, PROMPT], ids=["keys and values in turn", "joined"])
def test_a_changed_prompt_draws_the_concept_as_the_prompt_itself(draw, second):
    """Else people who write negative weights or couple regions lose their concept or get an error."""
    with_node, without = picture(draw, True, second=second), alone(draw, True)
    assert mean_difference(with_node, without) < SAME
    assert mean_difference(without, alone(draw, False, PLAIN)) > 1
    assert mean_difference(with_node, picture(draw, True, second=second, visual_strength=2.0)) > 1


@pytest.mark.parametrize("second", [None, PLAIN], ids=["keys and values in turn", "joined"])
def test_a_changed_prompt_without_the_concept_is_the_same_to_the_bit(draw, second):
    """Else a concept would change pictures that do not name it."""
    pictures = [picture(draw, edited, PLAIN, second) for edited in (True, False)]
    np.testing.assert_array_equal(*pictures)


def test_the_second_prompt_may_be_without_the_concept(draw):
    """Only the prompt that names the concept gets it."""
    once, twice = (picture(draw, True, PROMPT, PLAIN, visual_strength=strength) for strength in (1.0, 2.0))
    assert mean_difference(once, twice) > 1
    assert mean_difference(once, picture(draw, True, PROMPT, PROMPT)) > 1
