"""Where the edit's time goes in a sampling run: gates and key context once per prompt, one small add per layer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch

from . import host, models
from .sampling import sample
from .scale import Case, Scale
from .timing import clock

STEPS = 3
WATCHED = (
    # (what, module of the pack, name in it)
    ("similarities", "perfusion_ops.edit.context", "similarities"),
    ("gates", "perfusion_ops.edit.context", "gate_strength"),
    ("key and value context", "perfusion_ops.edit.joint", "edit_context"),
    ("looking up the layers", "nodes.families.unet", "UNet.cross_attentions"),
    ("swap of the context", "nodes.host.model_call", "CallEdit.swap_context"),
    ("hook on to_v, the add in it", "nodes.host.model_call", "CallEdit.value_output"),
    ("the add", "nodes.host.model_call", "add_value_delta"),
)
PER_LAYER = ("swap of the context", "hook on to_v, the add in it", "the add")


@dataclass
class Share:
    calls: int = 0
    seconds: float = 0.0


def run(scale: Scale) -> dict[str, list[dict[str, Any]]]:
    rows = []
    for case in scale.profile:
        rows += profile_rows(case, max(scale.sampling_counts))
    return {"Calls in one run": rows}


def profile_rows(case: Case, count: int) -> list[dict[str, Any]]:
    """One run of ``STEPS`` steps, one prompt with ``count`` concepts and one without, guidance on."""
    model = models.random_model(case.family, getattr(torch, case.dtype))
    layers = models.layer_widths(model)
    concepts = models.random_concepts(case.family, layers, count)
    edited = models.with_concepts(model, concepts)
    words = [concept.word for concept in concepts]
    sample(edited, case.family, case, words, 1)
    with watched() as shares:
        step = sample(edited, case.family, case, words, STEPS)
    return [
        {
            "model": models.FAMILIES[case.family].title,
            "pixels": case.pixels,
            "concepts": count,
            "layers": len(layers),
            "steps": STEPS,
            "what": what,
            "calls": shares[what].calls,
            "expected": expected(what, len(layers), count),
            "ms in all": round(1000 * shares[what].seconds, 2),
            "share of the steps": f"{shares[what].seconds / (STEPS * step):.3%}",
        }
        for what, *_ in WATCHED
    ]


def expected(what: str, layers: int, count: int) -> int:
    """Calls when nothing is computed twice: once per prompt, or once per layer and step; gates once per concept."""
    if what in PER_LAYER:
        return layers * STEPS
    return count if what == "gates" else 1


@contextmanager
def watched() -> Iterator[dict[str, Share]]:
    """Count and time every call of the functions in ``WATCHED``."""
    shares: dict[str, Share] = defaultdict(Share)
    with ExitStack() as stack:
        for what, module, path in WATCHED:
            *owners, name = path.split(".")
            owner = host.pack(module)
            for part in owners:
                owner = getattr(owner, part)
            stack.enter_context(mock.patch.object(owner, name, _timed(getattr(owner, name), shares[what])))
        yield shares


def _timed(function: Callable, share: Share) -> Callable:
    def call(*args, **kwargs):
        start = clock()
        result = function(*args, **kwargs)
        share.calls, share.seconds = share.calls + 1, share.seconds + clock() - start
        return result

    return call
