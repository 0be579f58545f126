"""A U-Net of the Stable Diffusion family: which noise schedule training takes over from it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch


def sampling(name: str, base: str = "ModelSamplingDiscrete"):
    """A model whose sampling is of the host's own classes, put together as its nodes do."""
    import comfy.model_sampling
    import comfy_extras.nodes_model_advanced

    kinds = (comfy.model_sampling, comfy_extras.nodes_model_advanced)
    kind = next(getattr(module, name) for module in kinds if hasattr(module, name))
    based_on = next(getattr(module, base) for module in kinds if hasattr(module, base))
    made = type("ModelSampling", (based_on, kind), {})()
    return SimpleNamespace(get_model_object={"model_sampling": made}.get)


@pytest.mark.parametrize(("kind", "prediction"), [("EPS", "epsilon"), ("V_PREDICTION", "velocity")])
def test_the_schedules_of_stable_diffusion_are_taken_over(pack, kind, prediction):
    """SD 1.x and SD 2.x are taught with the noise that they draw with."""
    schedule = pack.unet.UNETS[0].noise_schedule(sampling(kind))
    assert schedule.prediction == prediction and len(schedule.alphas_cumprod) == 1000
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64).square()
    assert torch.allclose(schedule.alphas_cumprod.double(), (1 - betas).cumprod(0), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        ("X0", "ModelSamplingDiscrete"),
        ("LCM", "ModelSamplingDiscreteDistilled"),
        ("EPS", "ModelSamplingDiscreteDistilled"),
        ("EDM", "ModelSamplingDiscrete"),
        ("V_PREDICTION", "ModelSamplingContinuousV"),
    ],
)
def test_kinds_that_predict_something_else_are_refused_by_name(pack, kind, base):
    """A distilled model is refused by name.

    LCM and x0 prediction descend from noise prediction; trained as such they would learn to draw noise.
    """
    with pytest.raises(ValueError, match=f"samples by {base} and {kind}; training expects a discrete schedule"):
        pack.unet.UNETS[0].noise_schedule(sampling(kind, base))
