"""Models that learned a discrete schedule of noise: which of the host's kinds of sampling that is."""

from __future__ import annotations

import comfy.model_sampling

from ...perfusion_ops import NoiseSchedule
from .sampling_kind import another_kind, denoising

PREDICTIONS = {
    comfy.model_sampling.EPS.calculate_denoised: "epsilon",
    comfy.model_sampling.V_PREDICTION.calculate_denoised: "velocity",
}


def discrete_schedule(model, title: str) -> NoiseSchedule:
    """The schedule of a MODEL of the family ``title``. Raises ValueError for a kind that training does not know."""
    sampling = model.get_model_object("model_sampling")
    discrete = comfy.model_sampling.ModelSamplingDiscrete
    prediction = PREDICTIONS.get(denoising(sampling))
    if prediction is None or getattr(type(sampling), "timestep", None) is not discrete.timestep:
        raise another_kind(sampling, "a discrete schedule with noise or v prediction", title)
    alphas = 1 / (sampling.sigmas.double() ** 2 + 1)
    return NoiseSchedule(alphas.float().cpu(), prediction)
