"""The concept beside nodes that change, inside the model, which prompts the layers read."""

from __future__ import annotations

import numpy as np
import pytest

from builders.scenes import PLAIN, PROMPT, Scene
from builders.workflows import mean_difference

SAME = 0.1
"""Grey levels: the gates of a changed prompt are read from its marks, which are rounded."""


BESIDE, BEHIND, NETWORK = "beside each other", "one behind the other", "by another network"
WAYS = pytest.mark.parametrize("way", [BESIDE, BEHIND, NETWORK])
"""How a node joins two prompts."""


def picture(draw, edited: bool, first: str = PROMPT, second: str | None = None, way: str = BESIDE, **changes):
    """By a node that joins ``second`` to the prompt ``first``; without it, by one that takes keys and values in turn,
    or by a network that takes prompts one by one.
    """
    scene = Scene(edited)
    scene.apply(**changes)
    positive, negative = scene.prompt(first), scene.prompt("blurry")
    if way == NETWORK:
        beside = {} if second is None else {"second": scene.prompt(second)}
        scene.model = scene.graph.add("HelperNetwork", model=scene.model, **beside)[0]
    elif second is None:
        given = {"positive": positive, "negative": negative}
        node = scene.graph.add("HelperKeysAndValues", model=scene.model, **given)
        scene.model, positive, negative = node[0], node[1], node[2]
    else:
        joined = {"second": scene.prompt(second), "behind": way == BEHIND}
        scene.model = scene.graph.add("HelperJoinedPrompt", model=scene.model, **joined)[0]
    return draw(*scene.finish(positive, negative))


def alone(draw, edited: bool, text: str = PROMPT, **changes):
    scene = Scene(edited)
    scene.apply(**changes)
    return draw(*scene.finish(scene.prompt(text)))


@WAYS
@pytest.mark.parametrize("second", [None, PROMPT], ids=["cut", "joined"])
def test_a_changed_prompt_draws_the_concept_as_the_prompt_itself(draw, second, way):
    """Else people who write negative weights or couple regions lose their concept or get an error."""
    with_node, without = picture(draw, True, second=second, way=way), alone(draw, True)
    assert mean_difference(with_node, without) < SAME
    assert mean_difference(without, alone(draw, False, PLAIN)) > 1
    stronger = picture(draw, True, second=second, way=way, visual_strength=2.0)
    assert mean_difference(with_node, stronger) > 1


@WAYS
@pytest.mark.parametrize("second", [None, PLAIN], ids=["cut", "joined"])
def test_a_changed_prompt_without_the_concept_is_the_same_to_the_bit(draw, second, way):
    """Else a concept would change pictures that do not name it."""
    pictures = [picture(draw, edited, PLAIN, second, way) for edited in (True, False)]
    np.testing.assert_array_equal(*pictures)


@WAYS
def test_the_second_prompt_may_be_without_the_concept(draw, way):
    """Only the prompt that names the concept gets it."""
    once, twice = (picture(draw, True, PROMPT, PLAIN, way, visual_strength=strength) for strength in (1.0, 2.0))
    assert mean_difference(once, twice) > 1
    assert mean_difference(once, picture(draw, True, PROMPT, PROMPT, way)) > 1
