"""Create Hook: Perfusion on the real server, with the core's own keyframes and conditioning nodes.

The host computes prompts with different hooks one after the other, which alone rounds otherwise. So pictures that must
be equal are drawn in the same batches: at cfg 1, where the positive prompt is alone.
"""

from __future__ import annotations

import numpy as np
import pytest

from builders.scenes import PROMPT, TEDDY
from builders.workflows import Workflow, apply, encode, load, mean_difference, picture, sample, show

MUG = "mug.safetensors"
BOTH = "a teddy_t beside a mug_m"


def hooked(text: str, concepts, strength=1.0, keyframes=(), on="positive", cfg=1.0, between=None, **bias):
    """A picture whose positive or negative prompt has the hook of the teddy, with keyframes (percent, strength).

    ``between`` two strengths, the host makes the keyframes.
    """
    graph = Workflow()
    model, clip, vae = load(graph)
    for file, settings in concepts:
        model, clip = apply(graph, model, clip, file, **settings)
    teddy = graph.add("PerfusionLoadConcept", concept=TEDDY)[0]
    hooks, frames = graph.add("PerfusionCreateHook", concept=teddy, strength=strength, **bias)[0], None
    for percent, value in keyframes:
        before = {} if frames is None else {"prev_hook_kf": frames}
        frames = graph.add("CreateHookKeyframe", strength_mult=value, start_percent=percent, **before)[0]
    if between is not None:
        ends = {"strength_start": between[0], "strength_end": between[1], "interpolation": "linear"}
        ends |= {"start_percent": 0.0, "end_percent": 1.0, "keyframes_count": 4, "print_keyframes": False}
        frames = graph.add("CreateHookKeyframesInterpolated", **ends)[0]
    if frames is not None:
        hooks = graph.add("SetHookKeyframes", hooks=hooks, hook_kf=frames)[0]
    conds = {"positive": encode(graph, clip, text), "negative": encode(graph, clip, "blurry")}
    setting = {"cond_NEW": conds[on], "strength": 1.0, "set_cond_area": "default", "hooks": hooks}
    conds[on] = graph.add("ConditioningSetProperties", **setting)[0]
    latent = sample(graph, model, conds["positive"], conds["negative"], cfg=cfg)
    return graph, show(graph, latent, vae)


def plain(text: str, concepts):
    return picture(text, concepts, negative="blurry", cfg=1.0)


def test_a_hook_of_strength_one_and_one_on_another_prompt_change_nothing(draw):
    """Prompts that a hook is not for would change, or one that does nothing would."""
    expected = draw(*plain(PROMPT, [(TEDDY, {})]))
    np.testing.assert_array_equal(draw(*hooked(PROMPT, [(TEDDY, {})])), expected)
    elsewhere = [draw(*hooked(PROMPT, [(TEDDY, {})], strength, on="negative", cfg=4.0)) for strength in (0.0, 1.0)]
    np.testing.assert_array_equal(*elsewhere)
    assert mean_difference(elsewhere[0], draw(*hooked(PROMPT, [(TEDDY, {})], 0.0, cfg=4.0))) > 0


@pytest.mark.parametrize("strength, same", [(0.5, {"visual_strength": 0.5}), (0.0, {"start_percent": 1.0})])
def test_the_hooks_strength_is_the_concepts(draw, strength, same):
    """The dial of the hook would mean something else than visual_strength."""
    found = draw(*hooked(PROMPT, [(TEDDY, {})], strength))
    np.testing.assert_array_equal(found, draw(*plain(PROMPT, [(TEDDY, same)])))
    assert mean_difference(found, draw(*plain(PROMPT, [(TEDDY, {})]))) > 0


def test_keyframes_schedule_the_strength(draw):
    """A schedule by the core's keyframes would act at other steps than the Apply node's own."""
    found = draw(*hooked(PROMPT, [(TEDDY, {})], keyframes=[(0.0, 1.0), (0.5, 0.0)]))
    np.testing.assert_array_equal(found, draw(*plain(PROMPT, [(TEDDY, {"end_percent": 0.5})])))
    assert mean_difference(found, draw(*plain(PROMPT, [(TEDDY, {})]))) > 0


def test_keyframes_move_the_bias_and_say_when_they_cannot(draw, server):
    """The bias of one prompt would stay where Apply sets it, or keyframes would silently do nothing."""
    scaled = {"keyframes": [(0.0, 1.0)], "keyframes_scale": "bias_shift"}
    graph, node = hooked(PROMPT, [(TEDDY, {})], bias_shift=0.3, **scaled)
    result = server.run(graph)
    expected = draw(*plain(PROMPT, [(TEDDY, {"bias": -0.2})]))
    np.testing.assert_array_equal(server.pictures(result, node), expected)
    sentence = "bias_shift is 0, so keyframes change nothing"
    assert not any(sentence in line for line in result.texts())
    unmoved = server.run(hooked(PROMPT, [(TEDDY, {})], bias_shift=0.0, **scaled)[0])
    assert any(sentence in line for line in unmoved.texts())


@pytest.mark.parametrize(
    ("dials", "ends", "same"),
    [
        ({"keyframes_scale": "bias_shift", "bias_shift": 0.25}, (2.0, 2.0), {"bias": 0.0}),
        ({}, (0.5, 0.5), {"visual_strength": 0.5}),
    ],
)
def test_keyframes_that_the_host_interpolates_are_keyframes_too(draw, dials, ends, same):
    """Its node hands over tensors in place of numbers: sampling ended in an error where they moved the bias."""
    expected = draw(*plain(PROMPT, [(TEDDY, same)]))
    np.testing.assert_array_equal(draw(*hooked(PROMPT, [(TEDDY, {})], between=ends, **dials)), expected)
    moving = draw(*hooked(PROMPT, [(TEDDY, {})], between=(0.0, ends[1]), **dials))
    assert mean_difference(moving, expected) > 0 < mean_difference(moving, draw(*plain(PROMPT, [(TEDDY, {})])))


def test_a_hook_scales_its_own_concept_of_two(draw):
    """The hook of one concept would dim another in the same prompt."""
    found = draw(*hooked(BOTH, [(TEDDY, {}), (MUG, {})], 0.5))
    np.testing.assert_array_equal(found, draw(*plain(BOTH, [(TEDDY, {"visual_strength": 0.5}), (MUG, {})])))
    assert mean_difference(found, draw(*plain(BOTH, [(TEDDY, {"visual_strength": 0.5}), (MUG, {"bias": 2.0})]))) > 0


def test_a_hook_without_its_concept_in_the_model_says_so(server):
    """A hook that cannot act would silently do nothing."""
    result = server.run(hooked("a mug_m", [(MUG, {})])[0])
    assert any("This hook has no effect" in line and "'teddy_t'" in line for line in result.texts())
