"""Snapshots of a concept in training: whole, at their steps, and without a trace in the training itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from builders.tiny_model import SHORT, assert_same_concept, tiny_task
from perfusion_ops import GateKind, train
from perfusion_ops.training.settings import steps_done
from perfusion_ops.training.state import saved_step


class Kept(dict):
    """step -> concept, as the training gave them."""

    def __call__(self, concept, step: int) -> None:
        self[step] = concept


def test_a_snapshot_is_the_concept_of_its_step_and_changes_nothing() -> None:
    """Who asks for snapshots gets each step's own concept, and in the end the same one as without them."""
    kept, reported = Kept(), {}
    settings = {"snapshot_every": 3, "keep_snapshot": kept}
    result = train(tiny_task(), SHORT, callback=lambda r: reported.update({r.step: r.concept()}), **settings)
    assert list(kept) == [step for step in range(3, SHORT.steps, 3)] and len(kept) >= 2
    for step, concept in kept.items():
        assert_same_concept(concept, reported[step])
        assert steps_done(concept.metadata) == step
    plain = train(tiny_task(), SHORT)
    assert_same_concept(result.concept, plain.concept)
    assert result.losses == plain.losses


@pytest.mark.parametrize("stop_after", [4, 6, 7])
def test_a_resumed_training_keeps_the_snapshots_of_an_uninterrupted_one(tmp_path, stop_after: int) -> None:
    """A cancel before, at or after a snapshot costs none of them."""
    whole, kept, path = Kept(), Kept(), tmp_path / "run.checkpoint"
    train(tiny_task(), SHORT, snapshot_every=3, keep_snapshot=whole)

    def stop(report) -> None:
        if report.step == stop_after:
            raise KeyboardInterrupt

    settings = {"checkpoint": path, "snapshot_every": 3, "keep_snapshot": kept}
    with pytest.raises(KeyboardInterrupt):
        train(tiny_task(), SHORT, callback=stop, **settings)
    assert saved_step(path) == stop_after
    assert {step for step in whole if step < stop_after} <= set(kept)
    train(tiny_task(), SHORT, **settings)
    assert list(kept) == list(whole)
    for step, concept in whole.items():
        assert_same_concept(kept[step], concept)


def test_a_position_concept_has_snapshots_too() -> None:
    """The gate that a training learns for makes no difference to what is kept of it."""
    kept, settings = Kept(), replace(SHORT, gate_kind=GateKind.POSITION)
    train(replace(tiny_task(), inverse_covariance=None), settings, snapshot_every=3, keep_snapshot=kept)
    shorter = train(replace(tiny_task(), inverse_covariance=None), replace(settings, steps=3)).concept
    assert all(torch.equal(kept[3].value_residuals[name], r) for name, r in shorter.value_residuals.items())
    assert steps_done(kept[3].metadata) == 3 and kept[3].gate is GateKind.POSITION


def test_a_concept_of_another_trainer_says_no_step() -> None:
    """A file whose metadata names no step is loaded all the same."""
    assert steps_done({}) == steps_done({"training": "undone=7 steps=400"}) == 0
