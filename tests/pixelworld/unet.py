"""The small U-Net: Stable Diffusion 1.x's modules and names with 80 channels for 320 and 8 norm groups for 32.

Ten channels share a norm group, as in the full size network: with two, group norm all but erases each channel's mean
over the picture, and with it the colours. The full network repeats whole groups four times (expand.py).
"""
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS, GROUPS, HEADS, CONTEXT_WIDTH = 80, 8, 8, 768
BLOCKS_PER_LEVEL = (1, 2)


def timestep_embedding(timesteps: Tensor, width: int) -> Tensor:
    """Sinusoidal embedding (batch, width), cosines first (Ho et al. 2020, as in Stable Diffusion)."""
    frequencies = torch.exp(-math.log(10000) * torch.arange(width // 2, device=timesteps.device) / (width // 2))
    angles = timesteps[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class ResBlock(nn.Module):
    """Residual block with the time embedding added between its convolutions."""

    def __init__(self, channels: int, out_channels: int, groups: int) -> None:
        super().__init__()
        convolution = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.in_layers = nn.Sequential(nn.GroupNorm(groups, channels), nn.SiLU(), convolution)
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(4 * out_channels, out_channels))
        last = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.out_layers = nn.Sequential(nn.GroupNorm(groups, out_channels), nn.SiLU(), nn.Dropout(0), last)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.skip_connection = nn.Identity() if channels == out_channels else nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        hidden = self.in_layers(x) + self.emb_layers(embedding)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(hidden)


class CrossAttention(nn.Module):
    """Attention of x over a context, x itself by default."""

    def __init__(self, width: int, context_width: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context_width, width, bias=False)
        self.to_v = nn.Linear(context_width, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width), nn.Dropout(0))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        context = x if context is None else context
        projected = (self.to_q(x), self.to_k(context), self.to_v(context))
        q, k, v = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in projected)
        # On a CPU, widths that are a multiple of 16 run twice as fast, and float32 attention faster than bfloat16.
        padding = -q.shape[-1] % 16
        with torch.autocast(x.device.type, enabled=False):
            padded = (F.pad(t, (0, padding)).float() for t in (q, k, v))
            out = F.scaled_dot_product_attention(*padded, scale=q.shape[-1] ** -0.5)[..., : q.shape[-1]]
        return self.to_out(out.transpose(1, 2).flatten(2))


class GEGLU(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.proj(x).chunk(2, dim=-1)
        return x * F.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GEGLU(width, 4 * width), nn.Dropout(0), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class TransformerBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn1 = CrossAttention(width, width)
        self.ff = FeedForward(width)
        self.attn2 = CrossAttention(width, CONTEXT_WIDTH)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(channels)])
        self.proj_out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        hidden = self.proj_in(self.norm(x))
        height = hidden.shape[2]
        tokens = hidden.flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        return x + self.proj_out(tokens.transpose(1, 2).unflatten(2, (height, -1)))


class Downsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Upsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Stage(nn.ModuleList):
    """What Stable Diffusion keeps under one index: modules run in order, each given what it takes."""

    def forward(self, x: Tensor, embedding: Tensor, context: Tensor) -> Tensor:
        for module in self:
            if isinstance(module, ResBlock):
                x = module(x, embedding)
            elif isinstance(module, SpatialTransformer):
                x = module(x, context)
            else:
                x = module(x)
        return x


class UNet(nn.Module):
    """Predicts the noise in latents (batch, 4, 16, 16) at timesteps (batch,), given encodings (batch, tokens, 768).

    320 channels and 32 groups make it the network that the host builds for the expanded checkpoint.
    """

    def __init__(self, width: int = CHANNELS, groups: int = GROUPS) -> None:
        super().__init__()
        self.width = width
        self.time_embed = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width))
        self.input_blocks = nn.ModuleList([Stage([nn.Conv2d(4, width, 3, padding=1)])])
        self.output_blocks = nn.ModuleList()
        last_level = len(BLOCKS_PER_LEVEL) - 1
        for level, blocks in enumerate(BLOCKS_PER_LEVEL):
            for _ in range(blocks):
                self.input_blocks.append(Stage([ResBlock(width, width, groups), SpatialTransformer(width, groups)]))
            if level < last_level:
                self.input_blocks.append(Stage([Downsample(width)]))
        middle = [ResBlock(width, width, groups), SpatialTransformer(width, groups), ResBlock(width, width, groups)]
        self.middle_block = Stage(middle)
        for level, blocks in reversed(list(enumerate(BLOCKS_PER_LEVEL))):
            for _ in range(blocks + 1):
                block = [ResBlock(2 * width, width, groups), SpatialTransformer(width, groups)]
                self.output_blocks.append(Stage(block))
            if level > 0:
                self.output_blocks[-1].append(Upsample(width))
        self.out = nn.Sequential(nn.GroupNorm(groups, width), nn.SiLU(), nn.Conv2d(width, 4, 3, padding=1))
        nn.init.normal_(self.out[2].weight, std=0.01)
        nn.init.zeros_(self.out[2].bias)

    def forward(self, x: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        embedding = self.time_embed(timestep_embedding(timesteps, self.width).to(x.dtype))
        # At high noise the picture is a small difference of large numbers: first and last layer stay out of bfloat16.
        with torch.autocast(x.device.type, enabled=False):
            x = self.input_blocks[0](x, embedding, context)
        skips = [x]
        for stage in self.input_blocks[1:]:
            x = stage(x, embedding, context)
            skips.append(x)
        x = self.middle_block(x, embedding, context)
        for stage in self.output_blocks:
            x = stage(torch.cat([x, skips.pop()], dim=1), embedding, context)
        with torch.autocast(x.device.type, enabled=False):
            return self.out(x.float())


def value_projection_names(unet: UNet) -> dict[str, tuple[nn.Linear, nn.Linear]]:
    """Layer name, as "input_blocks.1.1.transformer_blocks.0.attn2" -> (to_k, to_v) of every cross-attention."""
    return {name: (module.to_k, module.to_v) for name, module in unet.named_modules() if name.endswith(".attn2")}
