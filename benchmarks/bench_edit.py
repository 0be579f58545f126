"""What an edit costs per prompt and per layer, against the plain layer and perfusion-pytorch's module.

    python dev.py bench bench_edit [--rounds 40]

All variants run interleaved in one process; each figure is the median over rounds of that round's ratio to the plain
layer. A layer is one cross-attention: queries, keys, values, attention and output of the true widths.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from perfusion_ops import Concept, EditTerm, Gate, JointEdit, inject
from report import markdown_table, write_report

CONCEPTS = (1, 4, 16, 64)


@dataclass(frozen=True)
class Shape:
    """One cross-attention layer: its family, context width, width, queries and heads."""

    family: str
    context: int
    width: int
    queries: int
    heads: int


SHAPES = (
    Shape("SD 1.5, 64 x 64", 768, 320, 4096, 8),
    Shape("SD 1.5, 16 x 16", 768, 1280, 256, 8),
    Shape("SDXL, 64 x 64", 2048, 640, 4096, 10),
    Shape("SDXL, 32 x 32", 2048, 1280, 1024, 20),
)


class CrossAttention(nn.Module):
    """Stable Diffusion's cross-attention."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.to_q = nn.Linear(shape.width, shape.width, bias=False)
        self.to_k = nn.Linear(shape.context, shape.width, bias=False)
        self.to_v = nn.Linear(shape.context, shape.width, bias=False)
        self.to_out = nn.Linear(shape.width, shape.width)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in
                   (self.to_q(x), self.to_k(context), self.to_v(context)))  # fmt: skip
        return self.to_out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def random_edit(count: int, shape: Shape, device: str) -> JointEdit:
    generator = torch.Generator().manual_seed(0)

    def vector(width: int) -> torch.Tensor:
        return torch.randn(width, generator=generator)

    concepts = []
    for index in range(count):
        target_input = vector(shape.context)
        concepts.append(
            Concept(
                word=f"<{index:03}>", superclass="cat", base_family="sd", target_input=target_input,
                target_dual=target_input.clone(), superclass_encoding=vector(shape.context),
                word_embeddings={}, value_residuals={"layer": vector(shape.width)},
            )
        )  # fmt: skip
    return JointEdit.of([EditTerm(concept, Gate(0.6, 0.15)) for concept in concepts], device)


def timed(call: Callable[[], object], device: str, repeats: int = 3) -> float:
    """Seconds a call: by the clock on a GPU; on the CPU the process's own time, which a busy machine changes least."""
    on_gpu = device.startswith("cuda")
    clock = time.perf_counter if on_gpu else time.process_time
    start = clock()
    for _ in range(repeats):
        call()
    if on_gpu:
        torch.cuda.synchronize()
    return (clock() - start) / repeats


def interleaved(calls: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 2):
        for name, call in calls.items():
            seconds = timed(call, device)
            if turn >= 2:
                times[name].append(seconds)
    return times


def peer_layer(shape: Shape, device: str, count: int) -> CrossAttention:
    """The same layer with perfusion-pytorch's module, which holds one concept, in place of keys and values."""
    from perfusion_pytorch.perfusion import Rank1EditModule, merge_rank1_edit_modules

    layer = CrossAttention(shape)
    covariance = torch.eye(shape.context)
    for name in ("to_k", "to_v"):
        modules = []
        for _ in range(count):
            module = Rank1EditModule(getattr(layer, name), C=covariance, is_key_proj=name == "to_k")
            encodings = torch.randn(1, 77, shape.context)
            module(encodings, concept_indices=torch.tensor([1]), text_enc_with_superclass=encodings)
            modules.append(module)
        merged = (modules[0] if count == 1 else merge_rank1_edit_modules(*modules)).eval().to(device)
        ids = 0 if count == 1 else tuple(range(count))
        setattr(layer, name, _WithConcepts(merged, ids))
    return layer.to(device).eval()


class _WithConcepts(nn.Module):
    def __init__(self, module: nn.Module, ids: int | tuple[int, ...]) -> None:
        super().__init__()
        self.module, self.ids = module, ids

    def forward(self, encodings: torch.Tensor) -> torch.Tensor:
        return self.module(encodings, concept_id=self.ids)


@torch.inference_mode()
def measure(shape: Shape, count: int, rounds: int, device: str, batch: int) -> dict[str, object]:
    layer = CrossAttention(shape).to(device).eval()
    x = torch.randn(batch, shape.queries, shape.width, device=device)
    encodings = torch.randn(batch, 77, shape.context, device=device)
    edit = random_edit(count, shape, device)
    context = edit.contexts(encodings)
    with torch.inference_mode(False):
        peer = peer_layer(shape, device, count)

    hooked = copy.deepcopy(layer)
    with inject({"layer": (hooked.to_k, hooked.to_v)}) as injected:
        injected.use(context, edit.value_residuals)
        times = interleaved(
            {
                "plain": lambda: layer(x, encodings),
                "edited": lambda: hooked(x, encodings),
                "add": lambda: edit.value_delta("layer", context.gates),
                "prompt": lambda: edit.contexts(encodings),
                "peer": lambda: peer(x, encodings),
            },
            rounds,
            device,
        )
    ratio = {name: statistics.median(a / b for a, b in zip(times[name], times["plain"], strict=True)) for name in times}
    return {
        "layer": shape.family,
        "J": count,
        "edited layer / plain": ratio["edited"],
        "the add alone / plain layer": ratio["add"],
        "once per prompt / plain layer": ratio["prompt"],
        "perfusion-pytorch / plain": ratio["peer"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path("bench_out/edit.json"))
    options = parser.parse_args()
    rows = []
    for shape in SHAPES:
        for count in CONCEPTS:
            rows.append(measure(shape, count, options.rounds, options.device, options.batch))
            print(f"{shape.family}, J = {count}: {rows[-1]['edited layer / plain']:.3f} x the plain layer", flush=True)
    print(markdown_table(rows))
    write_report(options.out, rows)


if __name__ == "__main__":
    main()
