"""A first stage written by hand: a TAESD whose 16 x 16 latents are the pixel art itself, at 128 x 128.

The architecture and its parameter names are those of TAESD (github.com/madebyollin/taesd), which the host loads from a
checkpoint. All blocks are zero and pass what is positive through; encoding averages 8 x 8 pixels; decoding undoes the
decoder's tanh by a piecewise linear function, exact at its knots, which every palette level is.
"""
import torch
from torch import Tensor, nn

WIDTH = 64
KNOTS = 20
"""Intervals between latent -1 and 1: a multiple of 4, so that the palette's five levels are knots."""
SCALE_FACTOR = 0.18215
"""The host divides a Stable Diffusion 1.x latent by this before decoding; `vae_scale` multiplies it back."""


class Clamp(nn.Module):
    """TAESD's soft clamp to [-3, 3]."""

    def forward(self, x: Tensor) -> Tensor:
        return 3 * torch.tanh(x / 3)


class Block(nn.Module):
    """TAESD's residual block."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = (nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(3))
        self.conv = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)
        self.fuse = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.fuse(self.conv(x) + x)


def blocks(n: int) -> list[Block]:
    return [Block() for _ in range(n)]


def encoder_architecture() -> nn.Sequential:
    """Pictures (batch, 3, 128, 128) in [0, 1] -> latents (batch, 4, 16, 16)."""
    layers: list[nn.Module] = [nn.Conv2d(3, WIDTH, 3, padding=1), *blocks(1)]
    for _ in range(3):
        layers += [nn.Conv2d(WIDTH, WIDTH, 3, padding=1, stride=2, bias=False), *blocks(3)]
    return nn.Sequential(*layers, nn.Conv2d(WIDTH, 4, 3, padding=1))


def decoder_architecture() -> nn.Sequential:
    """Latents (batch, 4, 16, 16) -> pictures (batch, 3, 128, 128) in [0, 1]."""
    layers: list[nn.Module] = [Clamp(), nn.Conv2d(4, WIDTH, 3, padding=1), nn.ReLU()]
    for _ in range(3):
        layers += [*blocks(3), nn.Upsample(scale_factor=2), nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)]
    return nn.Sequential(*layers, *blocks(1), nn.Conv2d(WIDTH, 3, 3, padding=1))


def tanh_knots() -> tuple[Tensor, Tensor]:
    """What the clamp makes of even latents, and the slope changes that lead back to colours: both (KNOTS + 1,).

    sum_k change_k relu(y - knot_k) is 0 below the first knot, 1 above the last and linear between neighbours.
    """
    latents = torch.linspace(-1, 1, KNOTS + 1, dtype=torch.float64)
    knots = 3 * torch.tanh(latents / 3)
    slopes = torch.cat([torch.zeros(1), 1 / (KNOTS * knots.diff()), torch.zeros(1)])
    return knots, slopes.diff()


@torch.no_grad()
def write_encoder(encoder: nn.Sequential) -> None:
    """Carries the three colours through as positive numbers and writes 2 rgb - 1 and their mean."""
    for parameter in encoder.parameters():
        parameter.zero_()
    for colour in range(3):
        encoder[0].weight[colour, colour, 1, 1] = 1
        for index in (2, 6, 10):
            encoder[index].weight[colour, colour, 1:, 1:] = 0.25
        encoder[14].weight[colour, colour, 1, 1] = 2
        encoder[14].weight[3, colour, 1, 1] = 2 / 3
    encoder[14].bias.fill_(-1)


@torch.no_grad()
def write_decoder(decoder: nn.Sequential) -> None:
    """One channel for each knot and colour, summed with its slope change at the end."""
    for parameter in decoder.parameters():
        parameter.zero_()
    knots, changes = tanh_knots()
    for colour in range(3):
        channels = slice(colour * (KNOTS + 1), (colour + 1) * (KNOTS + 1))
        decoder[1].weight[channels, colour, 1, 1] = 1
        decoder[1].bias[channels] = -knots.float()
        decoder[-1].weight[colour, channels, 1, 1] = changes.float()
    for index in (7, 12, 17):
        decoder[index].weight[range(WIDTH), range(WIDTH), 1, 1] = 1


def first_stage() -> tuple[nn.Sequential, nn.Sequential]:
    """The written encoder and decoder."""
    encoder, decoder = encoder_architecture(), decoder_architecture()
    write_encoder(encoder)
    write_decoder(decoder)
    return encoder.requires_grad_(False), decoder.requires_grad_(False)


def first_stage_weights() -> dict[str, Tensor]:
    """The weights under the names the host gives a TAESD in a checkpoint's `first_stage_model`."""
    encoder, decoder = first_stage()
    weights = {f"taesd_encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    weights |= {f"taesd_decoder.{name}": tensor for name, tensor in decoder.state_dict().items()}
    return weights | {"vae_scale": torch.tensor(SCALE_FACTOR), "vae_shift": torch.tensor(0.0)}
