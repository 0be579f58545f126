"""Forward diffusion and the masked loss (eq. 6)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PREDICTIONS = ("epsilon", "velocity")


@dataclass(frozen=True)
class NoiseSchedule:
    """A variance-preserving schedule: ``x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise`` (Ho et al. 2020, eq. 4).

    Raises ValueError for a prediction that it does not know.
    """

    alphas_cumprod: Tensor
    """``a_t`` for every timestep (N,)."""
    prediction: str = "epsilon"
    """What the model predicts: ``epsilon`` (the noise) or ``velocity`` (Salimans & Ho 2022, appendix D)."""

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            raise ValueError(f"Unknown prediction {self.prediction!r}; expected one of {', '.join(PREDICTIONS)}.")

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """``x_t`` (B, C, h, w) at ``timesteps`` (B,)."""
        signal, spread = self._scales(timesteps, latents)
        return signal * latents + spread * noise

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the model should predict for ``x_t`` (B, C, h, w)."""
        if self.prediction == "epsilon":
            return noise
        signal, spread = self._scales(timesteps, latents)
        return signal * noise - spread * latents

    def __len__(self) -> int:
        """How many timesteps there are."""
        return len(self.alphas_cumprod)

    def numbers(self) -> Tensor:
        """What the schedule is made of (N,)."""
        return self.alphas_cumprod

    def _scales(self, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        alpha = self.alphas_cumprod[timesteps.cpu()].to(like).view(-1, 1, 1, 1)
        return alpha.sqrt(), (1 - alpha).sqrt()


@dataclass(frozen=True)
class FlowSchedule:
    """Rectified flow: ``x_t = (1 - s_t) x_0 + s_t noise``; the model predicts ``noise - x_0`` (Liu et al. 2022)."""

    sigmas: Tensor
    """``s_t`` for every timestep (N,), 0 to 1, with the family's shift."""
    prediction: str = "flow"

    def __len__(self) -> int:
        """How many timesteps there are."""
        return len(self.sigmas)

    def numbers(self) -> Tensor:
        """What the schedule is made of (N,)."""
        return self.sigmas

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """``x_t`` (B, C, h, w) at ``timesteps`` (B,)."""
        return torch.lerp(latents, noise, self._sigmas(timesteps, latents))

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the model should predict for ``x_t`` (B, C, h, w)."""
        return noise - latents

    def _sigmas(self, timesteps: Tensor, like: Tensor) -> Tensor:
        return self.sigmas[timesteps.cpu()].to(like).view(-1, 1, 1, 1)


def masked_loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """``sum m |target - prediction|^2 / sum m`` of every picture, averaged over channels: (B, C, h, w) -> (B,).

    ``mask`` is (B, h, w). It is divided by its own maximum per picture, which the ratio cancels.
    """
    wide = torch.promote_types(prediction.dtype, torch.float32)
    error = (prediction.to(wide) - target.to(wide)).square().mean(1)
    return (mask * error).flatten(1).sum(1) / mask.flatten(1).sum(1)
