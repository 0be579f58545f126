"""The Stable Diffusion 1.5-shaped checkpoint draws what the small world draws."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from pixelworld.expand import (
    VOCABULARY_SIZE,
    checkpoint_path,
    concatenated_map,
    expand_parameter,
    expanded_unet,
    feature_map,
    text_encoder_weights,
)
from pixelworld.text_encoder import TextEncoder
from pixelworld.unet import UNet


def random_unet(seed: int = 0) -> UNet:
    """A network in which no weight is zero, rounded to float16 as the committed weights are."""
    generator = torch.Generator().manual_seed(seed)
    unet = UNet().requires_grad_(False)
    for parameter in unet.parameters():
        scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
        parameter.add_(scale * torch.randn(parameter.shape, generator=generator)).copy_(parameter.half().float())
    return unet


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 4, 16, 16, generator=generator)
    return x, torch.tensor([999, 200]), torch.randn(2, 77, 768, generator=generator)


@torch.no_grad()
def test_the_network_at_320_channels_equals_the_small_one():
    """What the demo draws in ComfyUI is what the proof measured without it."""
    small, wide = random_unet(), UNet(320, 32)
    wide.load_state_dict(expanded_unet(small.state_dict()))
    expected = small(*inputs())
    assert (wide(*inputs()) - expected).abs().max() < 1e-5 * expected.abs().max()


@torch.no_grad()
def test_a_query_that_is_not_halved_shows():
    """Negative control: one wrong factor would be noticed."""
    small, wide = random_unet(), UNet(320, 32)
    weights = expanded_unet(small.state_dict())
    name = "middle_block.1.transformer_blocks.0.attn1.to_q.weight"
    wide.load_state_dict(weights | {name: 2 * weights[name]})
    expected = small(*inputs())
    assert (wide(*inputs()) - expected).abs().max() > 1e-4 * expected.abs().max()


@pytest.mark.parametrize(("channels", "size"), [(feature_map(), 10), (concatenated_map(), 20)])
def test_every_norm_group_holds_one_small_group(channels, size):
    """The wide network's norms are those of the small one."""
    for group in channels.view(32, size).tolist():
        assert group == list(range(group[0], group[0] + size)) and group[0] % size == 0
    assert (channels.bincount() == 4).all()


def test_expansion_rounds_no_normal_number():
    """The checkpoint for ComfyUI loses no digit of the weights."""
    small = (64 * torch.randn(80, 80, 3, 3, generator=torch.Generator().manual_seed(0))).round().half() / 64
    wide = expand_parameter("middle_block.0.in_layers.2.weight", small)
    channels = feature_map()
    assert wide.dtype == torch.float16 and torch.equal(4 * wide, small[channels][:, channels])


def test_the_text_encoder_checkpoint_holds_the_same_weights():
    """ComfyUI reads prompts as the small world does."""
    weights, encoder = text_encoder_weights(), TextEncoder()
    rows = weights["embeddings.token_embedding.weight"]
    assert rows.shape == (VOCABULARY_SIZE, 768)
    for token, index in encoder.rows.items():
        assert torch.equal(rows[token].float(), encoder.token_embedding.weight[index])
    assert not weights["encoder.layers.7.self_attn.out_proj.weight"].any()


def test_the_checkpoints_name_follows_its_content(tmp_path):
    """New weights are never drawn with an old checkpoint from the cache."""
    save_file({"a": torch.zeros(1)}, tmp_path / "one.safetensors")
    save_file({"a": torch.ones(1)}, tmp_path / "two.safetensors")
    one, two = (checkpoint_path(tmp_path, tmp_path / f"{name}.safetensors") for name in ("one", "two"))
    assert one != two
