"""Doing the work once: learning and drawing what is not in the store yet, one process a core, with the time left."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from .drawing import draw, record_of
from .methods import learn
from .specs import Drawing, Learning, result_key
from .store import Store

Report = Callable[[str], None]


def learned(learning: Learning, store: Store) -> dict[str, torch.Tensor]:
    """What was learned, from the store or anew; the seconds it took are kept beside it."""
    key = result_key(learning)
    state = store.tensors("learned", key)
    if state is None:
        started = time.process_time()
        state = learn(learning, store)
        store.keep_tensors("learned", key, state or {"nothing": torch.zeros(1)})
        size = sum(tensor.numel() * 2 for tensor in state.values())
        seconds = time.process_time() - started
        store.keep_record("learning", key, {"spec": asdict(learning), "core_seconds": seconds, "bytes_fp16": size})
    return state


def drawn(drawing: Drawing, store: Store) -> dict[str, Any]:
    """The record of a drawing, from the store or anew; its pictures are kept beside it."""
    key = result_key(drawing)
    record = store.record("drawing", key)
    if record is None:
        started = time.process_time()
        pictures = draw(drawing, learned(drawing.learning, store))
        store.keep_tensors("pictures", key, {"pictures": pictures})
        record = record_of(drawing, pictures) | {"core_seconds": time.process_time() - started}
        store.keep_record("drawing", key, {"spec": asdict(drawing)} | record)
    return record


def _start(threads: int) -> None:
    torch.set_num_threads(threads)


def _do(task: tuple[Sequence[Drawing], Path]) -> int:
    drawings, folder = task
    for drawing in drawings:
        drawn(drawing, Store(folder))
    return len(drawings)


def by_learning(drawings: Sequence[Drawing]) -> list[list[Drawing]]:
    """Drawings of one learning together: it is learned once, by one process."""
    groups: dict[Learning, list[Drawing]] = {}
    for drawing in drawings:
        groups.setdefault(drawing.learning, []).append(drawing)
    return list(groups.values())


def do_all(drawings: Sequence[Drawing], store: Store, processes: int, report: Report) -> None:
    """Make everything the store lacks."""
    missing = [d for d in dict.fromkeys(drawings) if store.record("drawing", result_key(d)) is None]
    started, done = time.monotonic(), 0
    tasks = [(group, store.folder) for group in by_learning(missing)]
    for count in results(_do, tasks, processes):
        done += count
        left = (time.monotonic() - started) / done * (len(missing) - done)
        report(f"{done} of {len(missing)} drawings, about {left / 60:.1f} minutes left")


def results(function: Callable, tasks: Sequence, processes: int) -> Iterator:
    """What ``function``, of a module, makes of every task, one thread each, in any order."""
    if processes == 1 or len(tasks) < 2:
        _start(1)
        yield from map(function, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(processes, _start, (1,)) as pool:
        yield from pool.imap_unordered(function, tasks)
