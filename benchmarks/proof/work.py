"""Doing the work once: learning and drawing what is not in the store yet, one process a core, with the time left.

Results have names made of everything that decides them: a run that was killed goes on where it was.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from perfusion_ops.files.atomic import write_atomically

from .drawing import draw
from .methods import learn
from .reading import rows_of
from .specs import Drawing, Learning, result_key


class Store:
    """A folder of tensors and records."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def _path(self, kind: str, key: str, ending: str) -> Path:
        return self.folder / f"{kind}-{key}.{ending}"

    def tensors(self, kind: str, key: str) -> dict[str, Tensor] | None:
        path = self._path(kind, key, "safetensors")
        return load_file(path) if path.exists() else None

    def keep_tensors(self, kind: str, key: str, tensors: Mapping[str, Tensor]) -> None:
        write_atomically(self._path(kind, key, "safetensors"), save({n: t.contiguous() for n, t in tensors.items()}))

    def record(self, kind: str, key: str) -> Any | None:
        path = self._path(kind, key, "json")
        return json.loads(path.read_text()) if path.exists() else None

    def keep_record(self, kind: str, key: str, record: Any) -> None:
        write_atomically(self._path(kind, key, "json"), (json.dumps(record) + "\n").encode())


def learned(learning: Learning, store: Store) -> dict[str, Tensor]:
    """What was learned, from the store or anew; the seconds it took are kept beside it."""
    key = result_key(learning)
    state = store.tensors("learned", key)
    if state is None:
        started = time.process_time()
        state = learn(learning, store.folder)
        keep_learned(learning, state, time.process_time() - started, store)
    return state


def keep_learned(learning: Learning, state: Mapping[str, Tensor], core_seconds: float, store: Store) -> None:
    """What was learned, and beside it what it cost."""
    key, size = result_key(learning), sum(tensor.numel() * 2 for tensor in state.values())
    store.keep_tensors("learned", key, state or {"nothing": torch.zeros(1)})
    store.keep_record("learning", key, {"spec": asdict(learning), "core_seconds": core_seconds, "bytes_fp16": size})


def drawn(drawing: Drawing, store: Store) -> list:
    """What the reader finds in each picture of a drawing, from the store or anew; the pictures are kept beside it."""
    key = result_key(drawing)
    record = store.record("drawing", key)
    if record is None:
        pictures = draw(drawing, [learned(learning, store) for learning in drawing.learnings])
        store.keep_tensors("pictures", key, {"pictures": pictures})
        record = {"spec": asdict(drawing), "rows": rows_of(drawing, pictures)}
        store.keep_record("drawing", key, record)
    return record["rows"]


def pictures_of(drawing: Drawing, store: Store) -> Tensor:
    """Pictures (prompts * seeds, 16, W, 3) in [0, 1]."""
    drawn(drawing, store)
    return store.tensors("pictures", result_key(drawing))["pictures"] / 255


def do_all(drawings: Sequence[Drawing], store: Store, processes: int) -> None:
    """Make everything the store lacks: what is needed is learned first, then all is drawn."""
    missing = [d for d in dict.fromkeys(drawings) if store.record("drawing", result_key(d)) is None]
    needed = dict.fromkeys(learning for drawing in missing for learning in drawing.learnings)
    unknown = [learning for learning in needed if store.tensors("learned", result_key(learning)) is None]
    for function, tasks, what in ((learned, unknown, "learnings"), (drawn, missing, "drawings")):
        in_processes([(function, task, store.folder) for task in tasks], processes, what)


def in_processes(tasks: Sequence[tuple[Callable, Learning | Drawing, Path]], processes: int, what: str) -> None:
    """All tasks, one thread each, saying how much is left."""
    started = time.monotonic()
    with ExitStack() as stack:
        if processes == 1 or len(tasks) < 2:
            torch.set_num_threads(1)
            finished = map(_one, tasks)
        else:
            context = multiprocessing.get_context("spawn")
            pool = stack.enter_context(context.Pool(processes, torch.set_num_threads, (1,)))
            finished = pool.imap_unordered(_one, tasks)
        for done, _ in enumerate(finished, start=1):
            left = (time.monotonic() - started) / done * (len(tasks) - done) / 60
            line = f"\r{done} of {len(tasks)} {what}, about {left:.1f} minutes left    "
            print(line, end="", file=sys.stderr, flush=True)


def _one(task: tuple[Callable, Learning | Drawing, Path]) -> None:
    function, spec, folder = task
    function(spec, Store(folder))
