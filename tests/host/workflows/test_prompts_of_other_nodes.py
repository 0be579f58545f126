"""The concept in prompts that other nodes have the layers read, beside the sampler's or in their place."""

from __future__ import annotations

import numpy as np
import pytest

from builders.scenes import PLAIN, PROMPT, Scene
from builders.server import WorkflowError
from builders.workflows import mean_difference

SAME = 0.1
"""Grey levels: the gates of a joined prompt are read from its marks, which are rounded."""
NODES = ("HelperJoinedPrompt", "HelperOneContext", "HelperGuidedPrompt", "HelperReplacedAttention")
JOINED, ONE, GUIDED, REPLACED = NODES


class Drawn:
    """The picture of the prompt ``first`` in whose layers ``node`` reads ``second`` too, and what was said of it."""

    def __init__(self, server, node: str, first: str, second: str, side: str = "", sampling=None, **dials) -> None:
        scene = Scene(edited=True)
        if side:
            dials["region"] = region(scene, side)
        scene.apply(**dials)
        given = {"behind": False} if node == JOINED else {}
        scene.model = scene.graph.add(node, model=scene.model, second=scene.prompt(second), **given)[0]
        workflow, shown = scene.finish(scene.prompt(first), scene.prompt("blurry"), **(sampling or {}))
        logged = len(server.log_text())
        result = server.run(workflow)
        self.picture = server.pictures(result, shown)
        self.said = " ".join(result.texts()).strip()
        self.log = server.log_text()[logged:]


def region(scene: Scene, side: str):
    """A mask of ``left``, of ``white`` or of ``black``."""
    whole = scene.graph.add("SolidMask", value=float(side == "white"), width=64, height=64)[0]
    if side != "left":
        return whole
    half = scene.graph.add("SolidMask", value=1.0, width=32, height=64)[0]
    return scene.graph.add("MaskComposite", destination=whole, source=half, x=0, y=0, operation="add")[0]


@pytest.fixture
def drawn(server):
    return lambda *args, **settings: Drawn(server, *args, **settings)


@pytest.mark.parametrize("node", NODES)
def test_a_concept_that_only_another_nodes_prompt_names_is_drawn(drawn, node):
    """Who writes the word in the second prompt of an attention couple gets the concept, and no warning."""
    once, twice = (drawn(node, PLAIN, PROMPT, visual_strength=strength) for strength in (1.0, 2.0))
    assert mean_difference(once.picture, drawn(node, PLAIN, PLAIN).picture) > 1
    assert mean_difference(once.picture, twice.picture) > 1
    assert not once.said and "Perfusion:" not in once.log


@pytest.mark.parametrize("node", [JOINED, GUIDED, REPLACED])
def test_it_has_there_the_effect_that_it_has_in_the_samplers_prompt(drawn, node):
    """Each node gives both prompts the same weight, so the places may change."""
    pictures = [drawn(node, *prompts).picture for prompts in ((PLAIN, PROMPT), (PROMPT, PLAIN))]
    assert mean_difference(*pictures) < SAME


@pytest.mark.parametrize("node", NODES)
def test_while_it_rests_the_prompt_draws_its_superclass_to_the_bit(drawn, node):
    """A schedule holds there too, and nothing else of the prompts is changed."""
    resting = drawn(node, PLAIN, PROMPT, start_percent=1.0)
    np.testing.assert_array_equal(resting.picture, drawn(node, PLAIN, PLAIN).picture)
    assert "start_percent is 1 and end_percent 1" in resting.said


def test_a_schedule_that_never_opens_there_is_told(drawn):
    """Else the concept would be silently without effect."""
    closed = drawn(JOINED, PLAIN, PROMPT, end_percent=0.3, sampling={"denoise": 0.3})
    sentence = "no step of this sampler lies between its start_percent and end_percent"
    assert sentence in closed.said and closed.log.count(sentence) == 1


@pytest.mark.parametrize("node", NODES)
def test_a_concept_that_no_prompt_names_is_told_beside_such_nodes(drawn, node):
    """Else people would look for the fault in their concept."""
    unnamed = drawn(node, PLAIN, PLAIN, sampling={"seed": 6})
    assert "no prompt encoded with this node's CLIP output names it" in unnamed.said
    assert unnamed.log.count("no prompt encoded with this node's CLIP output names it") == 1


def test_a_node_that_takes_the_prompt_with_the_concept_away_is_told_of(drawn):
    """The look must not be drawn into a prompt that does not name it, nor be missing without a word."""
    lost = drawn(ONE, PROMPT, PLAIN)
    np.testing.assert_array_equal(lost.picture, drawn(ONE, PLAIN, PLAIN).picture)
    assert "another node changes the prompts inside the model" in lost.said and lost.log.count("had no effect") == 1


@pytest.mark.parametrize("prompts", [(PROMPT, PROMPT), (PROMPT, PLAIN), (PLAIN, PROMPT)], ids=" / ".join)
def test_a_region_holds_in_joined_prompts(drawn, prompts):
    """The look stays in its region, whichever of a couple's prompts names it."""
    inside, everywhere = (drawn(JOINED, *prompts, side=side).picture for side in ("left", ""))
    nowhere = drawn(JOINED, *prompts, side="black").picture
    assert mean_difference(inside, nowhere) > 0.5 and mean_difference(inside, everywhere) > 0.5
    np.testing.assert_array_equal(drawn(JOINED, *prompts, side="white").picture, everywhere)


def test_a_region_in_joined_prompts_is_the_region_alone(drawn, draw):
    """A prompt joined with itself draws what it draws alone, with a region too."""
    alone = Scene(edited=True)
    alone.apply(region=region(alone, "left"))
    picture = draw(*alone.finish(alone.prompt(PROMPT)))
    assert mean_difference(drawn(JOINED, PROMPT, PROMPT, side="left").picture, picture) < SAME
    pictures = [drawn(JOINED, *both, side="left").picture for both in ((PLAIN, PROMPT), (PROMPT, PLAIN))]
    assert mean_difference(*pictures) < SAME


@pytest.mark.parametrize("node", [GUIDED, REPLACED])
@pytest.mark.parametrize("prompts", [(PROMPT, PLAIN), (PLAIN, PROMPT)], ids=" / ".join)
def test_a_region_where_a_layer_reads_two_prompts_apart_is_refused(drawn, prompts, node):
    """Its output is no sum of shares then, so that the look would be wrong; without the word there is nothing to do."""
    with pytest.raises(WorkflowError, match="also reads a prompt of another node.*Take the region away"):
        drawn(node, *prompts, side="left")
    np.testing.assert_array_equal(drawn(node, *prompts, side="white").picture, drawn(node, *prompts).picture)
    np.testing.assert_array_equal(
        drawn(node, PLAIN, PLAIN, side="left").picture, drawn(node, PLAIN, PLAIN).picture
    )
