"""Is the last step of a training its best? Every subject is trained once and drawn from each of its snapshots."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from perfusion_ops import Concept, train

from .methods import task_of, tensors_of
from .recipes import STEPS, drawing_of, learning_of
from .specs import OURS, Drawing, Learning, Subject, result_key
from .statistics import Interval, mean_interval, verdict
from .tables import Row, Samples
from .work import Store, in_processes, keep_learned

EVERY, LAST = 25, 200
STEPS_KEPT = tuple(range(EVERY, LAST + 1, EVERY))
HALVES = (slice(0, None, 2), slice(1, None, 2))
"""Every other prompt: one half chooses a step, the other half judges it."""


def drawings_at(seeds: int) -> dict[int, Drawing]:
    """Step -> the drawing by the snapshot of that step."""
    return {step: drawing_of(OURS, seeds=seeds, steps=step) for step in STEPS_KEPT}


def learn_all(subjects: Sequence[Subject], store: Store, processes: int) -> None:
    """One training for each subject that lacks a snapshot."""
    learnings = [learning_of(OURS, subject, steps=LAST) for subject in subjects]
    missing = [each for each in learnings if any(lacks(replace(each, steps=step), store) for step in STEPS_KEPT)]
    in_processes([(learn_with_snapshots, each, store.folder) for each in missing], processes, "trainings")


def lacks(learning: Learning, store: Store) -> bool:
    return store.tensors("learned", result_key(learning)) is None


def learn_with_snapshots(learning: Learning, store: Store) -> None:
    """Train once, and keep each snapshot as the training of so many steps, which it equals to the bit."""
    started = time.process_time()

    def keep(concept: Concept, step: int) -> None:
        keep_learned(replace(learning, steps=step), tensors_of(concept), time.process_time() - started, store)

    task, settings = task_of(learning, store.folder), learning.settings()
    keep(train(task, settings, snapshot_every=EVERY, keep_snapshot=keep).concept, learning.steps)


def products(drawings: Mapping[int, Drawing], samples: Samples) -> np.ndarray:
    """Identity times relative text alignment (individuals, steps)."""
    identity, right, base_right, _ = np.moveaxis(samples.stacked(drawings.values(), "alone"), -1, 0)
    return identity * right / base_right


def choices(halves: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Way to choose a step -> what it gives each individual, from ``products`` (individuals, steps) of both halves."""
    whole, rows = sum(halves) / 2, np.arange(len(halves[0]))
    crossed = [judge[rows, choose.argmax(1)] for choose, judge in (halves, halves[::-1])]
    return {
        f"the last, {LAST}": whole[:, -1],
        f"the proof's, {STEPS}": whole[:, STEPS_KEPT.index(STEPS)],
        "each subject's best on half of the prompts, judged on the other": sum(crossed) / 2,
        "each subject's best on the very pictures that judge it": whole.max(1),
    }


def choice_rows(halves: Sequence[np.ndarray]) -> list[Row]:
    """What each way to choose a step gives, beside taking the last one."""
    found = choices(halves)
    last = next(iter(found.values()))
    rows = []
    for way, values in found.items():
        gain: Interval = mean_interval(values - last)
        row = {"step taken": way, "identity x alignment": str(mean_interval(values)), "minus the last": "-"}
        if values is not last:
            row["minus the last"] = f"{gain} {verdict(gain)}"
        rows.append(row)
    return rows


def best_steps(halves: Sequence[np.ndarray]) -> list[Row]:
    """Each individual's best step."""
    best = (sum(halves) / 2).argmax(1)
    return [{"subject": number, "best step": STEPS_KEPT[step]} for number, step in enumerate(best)]
