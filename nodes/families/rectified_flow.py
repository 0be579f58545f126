"""Models that learned rectified flow: which of the host's kinds of sampling that is, and its share of noise."""

from __future__ import annotations

import comfy.model_sampling
from torch import Tensor

from ...perfusion_ops import FlowSchedule
from .sampling_kind import another_kind, denoising

FLOWS = {comfy.model_sampling.CONST.calculate_denoised: lambda sigmas: sigmas}
"""What a host's kind of sampling computes -> the share of noise for its sigmas."""
if hasattr(comfy.model_sampling, "COSMOS_RFLOW"):
    # Its sigmas are the noise beside a picture of weight 1.
    FLOWS[comfy.model_sampling.COSMOS_RFLOW.calculate_denoised] = lambda sigmas: sigmas / (sigmas + 1)


def flow_schedule(model, title: str) -> FlowSchedule:
    """The rectified flow of a MODEL of the family ``title``, with the model's own shift.

    Raises ValueError for a model that samples by another kind of schedule.
    """
    sampling = model.get_model_object("model_sampling")
    shares = noise_shares(sampling)
    if shares is None:
        raise another_kind(sampling, "rectified flow", title)
    return FlowSchedule(shares)


def noise_shares(sampling) -> Tensor | None:
    """The share of noise at every timestep of a rectified flow (N,), 0 to 1; none for another kind of schedule."""
    share = FLOWS.get(denoising(sampling))
    return None if share is None else share(sampling.sigmas.detach().double()).float().cpu().clone()
