"""What the schedules are compared by: a schedule that changes nothing draws what the proof draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

import schedules
from perfusion_ops.edit.schedule import Level, Schedule
from proof.drawing import draw
from proof.methods import Taught, learn
from proof.recipes import drawing_of
from proof.specs import BASE, OURS, Subject


def test_a_constant_schedule_draws_what_the_proof_draws(tmp_path):
    """The best constant would be compared with schedules that are drawn in another way."""
    drawing = drawing_of(OURS, Subject(0), steps=2, batch_size=2, captions=300)
    drawing = replace(drawing, prompts=1)
    taught = Taught(drawing.learnings[0], learn(drawing.learnings[0], tmp_path))
    same, rests = (schedules.draw(each, drawing, taught) for each in (Schedule(), Schedule((Level(0.0, 0.0),))))
    assert torch.equal(same, draw(drawing, [taught.state]))
    plain = replace(drawing_of(BASE, Subject(0)), prompts=1)
    assert torch.equal(rests, draw(plain, [{}]))
    late = schedules.draw(schedules.CHANGING["strength 0, from 40 % on 1"], drawing, taught)
    assert not torch.equal(late, same) and not torch.equal(late, rests)


def test_the_best_is_chosen_on_the_tuning_individuals_alone():
    """A schedule would be called better because it was chosen on the pictures that it is judged by."""
    base = [0.0, 0.0, 0.0, 0.0]
    tuning, reported = (np.array([[base, *([i, 1.0, 1.0, 0.0] for i in row)]] * 2) for row in (TUNING, REPORTED))
    found = schedules.chosen_and_compared(list("abcd"), 2, tuning, reported)
    (verdict,) = found["The best schedule minus the best constant"]
    assert (verdict["chosen constant"], verdict["chosen schedule"]) == ("b", "c")
    assert verdict["the first minus the second"].startswith("-0.400")


TUNING, REPORTED = (0.2, 0.9, 0.8, 0.1), (1.0, 0.7, 0.3, 1.0)
"""Identities with two constants and two schedules."""
