"""A sampling step with concepts, beside the plain model's, one LoRA's and perfusion-pytorch's, in one process."""

from __future__ import annotations

import importlib.util
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from . import host, models
from .scale import Case, Scale
from .timing import clock, interleaved, ratio_columns, rounded, seconds

PLAIN, AGAIN, LORA, PEER = "plain", "plain, again", "one LoRA, rank 8", "perfusion-pytorch, 1 concept"
STEPS = 1
LORA_RANK = 8


def run(scale: Scale) -> dict[str, list[dict[str, Any]]]:
    rows, switched = [], []
    for family in dict.fromkeys(case.family for case in scale.sampling):
        cases = [case for case in scale.sampling if case.family == family]
        found, on = measure(family, cases, scale.sampling_counts, scale.warm_up)
        rows += found
        switched += on
    return {"A sampling step": rows, "Switching on": switched}


def measure(family: str, cases: list[Case], counts: tuple[int, ...], warm_up: int):
    """Rows of every case of one family, and the time each way takes to be ready for its first step."""
    model = models.random_model(family, getattr(torch, cases[0].dtype))
    variants = {PLAIN: (model, ()), AGAIN: (model, ())}
    concepts = models.random_concepts(family, models.layer_widths(model), max(counts))
    for count in counts:
        chosen = concepts[:count]
        variants[_label(count)] = (models.with_concepts(model, chosen), [concept.word for concept in chosen])
    variants[LORA] = (with_lora(model), ())
    if importlib.util.find_spec("perfusion_pytorch"):
        variants[PEER] = (model, ())
    sample(model, family, cases[0])
    ways = {
        LORA: lambda: load(variants[LORA][0]),
        _label(counts[-1]): lambda: models.with_concepts(model, concepts[: counts[-1]]),
    }
    title = models.FAMILIES[family].title
    switched = [{"model": title, "what": what, "seconds": rounded(seconds(way))} for what, way in ways.items()]
    rows = [row for case in cases for row in case_rows(case, variants, warm_up)]
    return rows, switched


def _label(count: int) -> str:
    return f"{count} concept{'s' if count > 1 else ''}"


def case_rows(case: Case, variants: dict[str, tuple], warm_up: int) -> list[dict[str, Any]]:
    def call(name: str) -> Callable[[], float]:
        model, words = variants[name]

        def step() -> float:
            with peer_modules(model) if name == PEER else nullcontext():
                return sample(model, case.family, case, words)

        return step

    times = interleaved({name: call(name) for name in variants}, case.rounds, warm_up)
    return [
        {
            "model": models.FAMILIES[case.family].title,
            "batch": case.batch,
            "pixels": case.pixels,
            "dtype": case.dtype,
            "with": name,
            "ms a step": rounded(1000 * statistics.median(times[name])),
            **ratio_columns(times, name, PLAIN),
        }
        for name in variants
    ]


def load(model) -> None:
    host.comfy("comfy.model_management").load_models_gpu([model], force_full_load=True)


def sample(model, family: str, case: Case, words=(), steps: int = STEPS) -> float:
    """Run the host's sampler with guidance, ``batch`` pictures; mean seconds of a step, the run's preparation apart."""
    times: list[float] = []

    def timed_steps(denoise, x, sigmas, extra_args=None, **_unused):
        sigma = sigmas[0].expand(len(x))
        for _ in range(steps):
            start = clock()
            denoise(x, sigma, **extra_args)
            times.append(clock() - start)
        return x

    latent = torch.zeros(case.batch, 4, case.pixels // 8, case.pixels // 8)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        host.comfy("comfy.sample").sample_custom(
            model,
            noise,
            5.0,
            host.comfy("comfy.samplers").KSAMPLER(timed_steps),
            torch.tensor([5.0, 0.0]),
            models.conditioning(family, words),
            models.conditioning(family, seed=1),
            latent,
            disable_pbar=True,
        )
    return statistics.mean(times)


def with_lora(model):
    """A LoRA on every linear layer of the transformer blocks, loaded as Load LoRA does."""
    generator = torch.Generator().manual_seed(2)
    lora = {}
    for name, module in model.model.named_modules():
        if ".transformer_blocks." in name and isinstance(module, nn.Linear):
            rows, columns = module.weight.shape
            lora[f"{name}.lora_up.weight"] = torch.randn(rows, LORA_RANK, generator=generator) * 0.01
            lora[f"{name}.lora_down.weight"] = torch.randn(LORA_RANK, columns, generator=generator) * 0.01
            lora[f"{name}.alpha"] = torch.tensor(float(LORA_RANK))
    patched, _ = host.comfy("comfy.sd").load_lora_for_models(model, None, lora, 1.0, 0.0)
    if not patched.patches:
        raise RuntimeError("The host took none of the LoRA's keys.")
    return patched


@contextmanager
def peer_modules(model) -> Iterator[None]:
    """perfusion-pytorch's module in place of every to_k and to_v, with one concept, for both halves of the guidance."""
    layers = host.pack("nodes.families.family").family_of(model).cross_attentions(model.model.diffusion_model)
    width = next(iter(layers.values())).to_k.in_features
    inverse = torch.eye(width, device=host.device(), dtype=model.model.get_dtype())
    before = {}
    try:
        for name, layer in layers.items():
            before[name] = layer.to_k, layer.to_v
            layer.to_k, layer.to_v = (_Peer(part, part is layer.to_k, inverse) for part in (layer.to_k, layer.to_v))
        yield
    finally:
        for name, (to_k, to_v) in before.items():
            layers[name].to_k, layers[name].to_v = to_k, to_v


class _Peer(nn.Module):
    def __init__(self, projection: nn.Module, is_key: bool, inverse: torch.Tensor) -> None:
        from perfusion_pytorch.perfusion import Rank1EditModule

        super().__init__()
        # Its own copy of the inverse covariance would be made 32 to 140 times; one shared by all is given to it.
        self.edit = Rank1EditModule(projection, C=torch.eye(1), is_key_proj=is_key).eval()
        self.edit.C_inv = inverse
        for name in ("ema_concept_text_encs", "concept_outputs"):
            values = getattr(self.edit, name)
            width = projection.in_features if name.startswith("ema") else projection.out_features
            drawn = torch.randn(1, width, generator=torch.Generator().manual_seed(width)).to(inverse)
            setattr(self.edit, name, nn.Parameter(drawn) if isinstance(values, nn.Parameter) else drawn)
        self.edit.initted = torch.ones(1, 1, dtype=torch.bool, device=inverse.device)

    def forward(self, encodings: torch.Tensor) -> torch.Tensor:
        return self.edit(encodings)
