"""What must not change: prompts without the concept, strength 0, and the plain model beside an edited one."""

from __future__ import annotations

import numpy as np
import pytest

from builders.workflows import Workflow, encode, load, mean_difference, picture, sample, show
from builders.workflows import apply as apply_concept

TEDDY = "teddy.safetensors"


def test_the_concept_changes_a_picture_that_names_it(draw):
    """The pack does something: a prompt that names the concept draws another picture."""
    plain = draw(*picture("a photo of a bear on a beach"))
    edited = draw(*picture("a photo of a teddy_t on a beach", [(TEDDY, {})]))
    assert mean_difference(plain, edited) > 1


@pytest.mark.parametrize("negative", ["", "blurry, a bear"])
def test_a_prompt_without_the_concept_comes_out_as_without_the_node(draw, negative):
    """A workflow with the node draws other prompts as before, to the last pixel."""
    plain = draw(*picture("a red house by the sea", negative=negative))
    applied = draw(*picture("a red house by the sea", [(TEDDY, {}), ("mug.safetensors", {})], negative=negative))
    np.testing.assert_array_equal(applied, plain)


@pytest.mark.parametrize("settings", [{}, {"key_locking": "global pure"}])
def test_strength_zero_is_the_superclass_to_the_bit(draw, settings):
    """Visual strength 0 is the superclass's picture, so that the dial starts where the model is."""
    plain = draw(*picture("a (bear:1.3), on a beach"))
    zero = draw(*picture("a (teddy_t:1.3), on a beach", [(TEDDY, {"visual_strength": 0.0, **settings})]))
    np.testing.assert_array_equal(zero, plain)


def test_branches_with_and_without_the_concept_in_one_workflow_do_not_meet(draw, server):
    """The plain model beside an edited one draws plain pictures."""
    graph = Workflow()
    model, clip, vae = load(graph)
    applied, named = apply_concept(graph, model, clip, TEDDY)
    empty, text = encode(graph, clip, ""), "a photo of a bear"
    before = show(graph, sample(graph, model, encode(graph, clip, text), empty), vae)
    edited = show(graph, sample(graph, applied, encode(graph, named, "a photo of a teddy_t"), empty), vae)
    after = show(graph, sample(graph, model, encode(graph, clip, text), empty, steps=3), vae)
    result = server.run(graph)
    np.testing.assert_array_equal(server.pictures(result, before), draw(*picture(text)))
    np.testing.assert_array_equal(
        server.pictures(result, edited), draw(*picture("a photo of a teddy_t", [(TEDDY, {})]))
    )
    np.testing.assert_array_equal(server.pictures(result, after), draw(*picture(text, steps=3)))


def test_the_unconditional_prompt_alone_is_untouched(draw):
    """At cfg 0 only the unconditional prompt draws the picture; the positive one, with the concept, has no say."""
    plain = draw(*picture("a photo of a bear", cfg=0.0))
    edited = draw(*picture("a photo of a teddy_t", [(TEDDY, {})], cfg=0.0))
    np.testing.assert_array_equal(edited, plain)


def test_two_concepts_give_the_same_picture_in_either_order(draw):
    """Apply nodes may be chained in either order."""
    prompt = "a teddy_t beside a mug_m"
    one_way = draw(*picture(prompt, [(TEDDY, {}), ("mug.safetensors", {"bias": -0.3})]))
    other_way = draw(*picture(prompt, [("mug.safetensors", {"bias": -0.3}), (TEDDY, {})]))
    np.testing.assert_array_equal(one_way, other_way)
    alone = draw(*picture(prompt.replace("mug_m", "coffee cup"), [(TEDDY, {})]))
    assert mean_difference(one_way, alone) > 1
