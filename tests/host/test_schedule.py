"""Perfusion Schedule on the real server: what it draws, what it refuses, and what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from builders.scenes import PROMPT, TEDDY
from builders.server import Rejected, WorkflowError
from builders.workflows import Workflow, apply, encode, load, mean_difference, picture, sample, show

STILL = {"start_percent": 0.0, "end_percent": 1.0, "strength_start": 1.0, "strength_end": 1.0}
STILL |= {"bias_shift_start": 0.0, "bias_shift_end": 0.0, "interpolation": "step"}


def scheduled(*parts: dict[str, Any], dials: dict[str, Any] | None = None, **sampling: Any) -> tuple[Workflow, str]:
    """The teddy by a chain of Perfusion Schedule nodes, with dials of Apply and inputs of the sampler."""
    graph = Workflow()
    model, clip, vae = load(graph)
    before: dict[str, Any] = {}
    for part in parts:
        before = {"prev_schedule": graph.add("PerfusionSchedule", **{**STILL, **part}, **before)[0]}
    model, clip = apply(graph, model, clip, TEDDY, **(dials or {}), schedule=before["prev_schedule"])
    latent = sample(graph, model, encode(graph, clip, PROMPT), encode(graph, clip, ""), **sampling)
    return graph, show(graph, latent, vae)


def test_the_points_of_a_chain_act_at_their_times(draw):
    """A schedule would act at other steps than Apply's own dials, or a second part would take the first one's place."""
    shifted = {"bias_shift_start": 0.3, "bias_shift_end": 0.3}
    rest = shifted | {"end_percent": 0.5, "strength_start": 0.0, "strength_end": 0.0}
    found = draw(*scheduled(rest, shifted | {"start_percent": 0.5}))
    np.testing.assert_array_equal(found, draw(*picture(PROMPT, [(TEDDY, {"start_percent": 0.5, "bias": -0.2})])))
    assert mean_difference(found, draw(*picture(PROMPT, [(TEDDY, {"bias": -0.2})]))) > 0
    assert mean_difference(found, draw(*picture(PROMPT, [(TEDDY, {"start_percent": 0.5})]))) > 0


def test_a_schedule_that_does_not_change_is_the_plain_dials(draw):
    """Who connects a schedule and turns nothing would get another picture."""
    even = {"strength_start": 0.5, "strength_end": 0.5, "bias_shift_start": 0.2, "bias_shift_end": 0.2}
    found = draw(*scheduled(even | {"interpolation": "linear"}))
    plain = draw(*picture(PROMPT, [(TEDDY, {"visual_strength": 0.5, "bias": -0.3})]))
    np.testing.assert_array_equal(found, plain)
    never = draw(*scheduled({"strength_start": 0.0, "strength_end": 0.0}))
    np.testing.assert_array_equal(never, draw(*picture(PROMPT, [(TEDDY, {"visual_strength": 0.0})])))


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ([{"start_percent": 0.5, "end_percent": 0.2}], "The schedule ends at 0.2, before it begins at 0.5"),
        ([{"end_percent": 0.6}, {"start_percent": 0.5}], "A schedule begins at 0.5, but the one before it ends at 0.6"),
        ([{"end_percent": 1.5}], "bigger than max"),
    ],
)
def test_points_out_of_order_or_out_of_sampling_are_refused(server, parts, sentence):
    """The points would be read in another order than the user wrote them."""
    with pytest.raises((WorkflowError, Rejected), match=sentence):
        server.run(scheduled(*parts)[0])


@pytest.mark.parametrize(
    ("part", "settings", "sentence"),
    [
        ({"strength_start": 0.0, "strength_end": 0.0}, {}, "The schedule's strength is 0, so 'teddy_t' draws exactly"),
        (
            {"end_percent": 0.5, "strength_start": 0.0},
            {"dials": {"end_percent": 0.5}},
            "The schedule's strength is 0 from start_percent to end_percent",
        ),
        (
            {"end_percent": 0.3, "strength_end": 0.0},
            {"denoise": 0.3},
            "no step of this sampler lies between its start_percent and end_percent with a strength above 0 in its",
        ),
    ],
)
def test_a_schedule_that_never_opens_is_told_once(server, part, settings, sentence):
    """A schedule without effect would be mistaken for a concept that was learned badly."""
    logged = len(server.log_text())
    lines = [line for line in server.run(scheduled(part, **settings)[0]).texts() if sentence in line]
    assert lines and server.log_text()[logged:].count(sentence) == 1
