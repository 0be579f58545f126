"""Which of the host's kinds of sampling is rectified flow, and what it tells of the noise."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest
import torch

from builders.older_hosts import skip_without


def model(base: str, kind: str):
    """A model whose sampling is of the host's own classes, put together as its loader does."""
    kinds = importlib.import_module("comfy.model_sampling")
    if not hasattr(kinds, kind):
        skip_without(f"sampling of the kind {kind}")
    made = type("ModelSampling", (getattr(kinds, base), getattr(kinds, kind)), {})()
    return SimpleNamespace(get_model_object={"model_sampling": made}.get)


@pytest.fixture
def flow(pack):
    return importlib.import_module(f"{pack.family.__package__}.rectified_flow").flow_schedule


@pytest.mark.parametrize(
    ("base", "kind"),
    [
        ("ModelSamplingDiscreteFlow", "CONST"),
        ("ModelSamplingFlux", "CONST"),
        ("ModelSamplingCosmosRFlow", "COSMOS_RFLOW"),
    ],
)
def test_a_rectified_flow_is_taught_with_the_noise_that_it_draws_with(flow, base, kind):
    """The sampler's own noising at every timestep is ``(1 - share) x0 + share eps``."""
    sampled = model(base, kind)
    shares, sampling = flow(sampled, "Flux").sigmas, sampled.get_model_object("model_sampling")
    latent, noise = torch.tensor([2.0]), torch.tensor([3.0])
    for number in (0, len(shares) // 2, len(shares) - 1):
        share, sigma = shares[number], sampling.sigmas[number]
        noisy = sampling.calculate_input(sigma, sampling.noise_scaling(sigma, noise, latent))
        torch.testing.assert_close(noisy, (1 - share) * latent + share * noise, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("base", "kind"),
    [
        ("ModelSamplingDiscreteFlow", "IMG_TO_IMG_FLOW"),
        ("ModelSamplingDiscreteFlow", "X0"),
        ("ModelSamplingDiscrete", "EPS"),
    ],
)
def test_another_kind_is_refused_whatever_its_sigmas(flow, base, kind):
    """A model that predicts pictures would learn noise: told apart by what is computed, though its sigmas end at 1."""
    with pytest.raises(ValueError, match=f"samples by {base} and {kind}; training expects rectified flow, as Flux"):
        flow(model(base, kind), "Flux")
