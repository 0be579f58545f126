"""Which step of a training is the best: chosen on other pictures than those that judge it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from proof import snapshots
from proof.recipes import learning_of
from proof.snapshots import STEPS_KEPT, best_steps, choices, learn_with_snapshots
from proof.specs import OURS, Subject
from proof.work import Store, learned

FEW = {"steps": 4, "batch_size": 1, "captions": 40}


def test_noise_does_not_pass_for_a_better_step():
    """A reader is not told that snapshots help where only chance picks them."""
    rng = np.random.RandomState(0)
    halves = [rng.rand(200, len(STEPS_KEPT)) for _ in range(2)]
    last, _, crossed, hindsight = (values.mean() for values in choices(halves).values())
    assert abs(crossed - last) < 0.1 < hindsight - last


def test_a_step_that_is_better_in_both_halves_is_found():
    """Where one step is the best, it is taken, and named."""
    same = np.tile(np.linspace(0.2, 0.9, len(STEPS_KEPT)), (3, 1))
    same[:, 2] = 1.0
    assert [values.mean() for values in choices([same, same]).values()][2:] == [1.0, 1.0]
    assert [row["best step"] for row in best_steps([same, same])] == [STEPS_KEPT[2]] * 3


def test_a_snapshot_stands_for_the_training_of_so_many_steps(tmp_path, monkeypatch):
    """The figures by step are those of trainings of so many steps."""
    monkeypatch.setattr(snapshots, "EVERY", 2)
    learning = learning_of(OURS, Subject(0), **FEW)
    learn_with_snapshots(learning, Store(tmp_path))
    snapshot = learned(replace(learning, steps=2), Store(tmp_path))
    whole = learned(replace(learning, steps=2), Store(tmp_path / "alone"))
    assert snapshot.keys() == whole.keys()
    assert all(np.array_equal(snapshot[name].numpy(), whole[name].numpy()) for name in whole)
