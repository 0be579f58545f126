"""From attention to a soft mask: the softmax's share, Otsu's threshold, layers that count alike."""

from __future__ import annotations

import pytest
import torch

from perfusion_ops.training.subject_mask import joined, otsu, soft_mask, word_attention


def test_attention_to_a_word_is_its_share_of_the_softmax():
    """The map is the layer's own attention, averaged over heads: against the host-free definition, token by token."""
    generator = torch.Generator().manual_seed(0)
    queries, keys = (torch.randn(2, n, 12, generator=generator) for n in (5, 7))
    expected = torch.zeros(2, 5)
    for head in range(3):
        part = slice(4 * head, 4 * head + 4)
        shares = (queries[..., part] @ keys[..., part].mT / 2).softmax(-1)
        expected += (shares[..., 2] + shares[..., 5]) / 3
    assert torch.allclose(word_attention(queries, keys, 3, [2, 5]), expected, atol=1e-6)


def disc(size: int) -> torch.Tensor:
    place = torch.arange(size) - size / 2 + 0.5
    return (place[:, None] ** 2 + place[None] ** 2 < (size / 4) ** 2).float()


def test_a_bright_disc_in_noise_becomes_its_mask():
    """What stands out is white with a soft edge, the rest black, whatever the map's offset and scale."""
    noise = 0.1 * torch.randn(1, 32, 32, generator=torch.Generator().manual_seed(0))
    mask = soft_mask(3 + 0.01 * (disc(32) + noise))[0]
    inside, outside = mask[disc(32) > 0], mask[disc(32) == 0]
    assert inside.mean() > 0.9 and outside.mean() < 0.1 and mask.max() == 1


def test_the_threshold_moves_the_edge():
    """A user who wants more or less of the subject gets it."""
    level = 1 - torch.linspace(0, 1, 32).expand(1, 32, 32)
    areas = [soft_mask(level, threshold).mean() for threshold in (-0.2, 0.0, 0.2)]
    assert areas[0] > areas[1] + 0.1 > areas[2] + 0.2


def test_a_layer_that_attends_more_does_not_count_more():
    """Layers agree on the place, not on how much: one loud layer must not decide the mask alone."""
    subject = disc(16)[None]
    loud = 1000 * torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0))
    quiet = [0.001 * subject] * 4
    mean = joined([loud, *quiet], (16, 16))
    assert mean[0][subject[0] > 0].min() > mean[0][subject[0] == 0].max()


def test_otsu_parts_two_heaps_and_survives_a_flat_map():
    """Between two heaps the cut is in the middle; a map without any difference gives no crash and no NaN."""
    values = torch.tensor([0.1] * 30 + [0.9] * 10)
    assert otsu(values).item() == pytest.approx(0.5, abs=0.05)
    assert torch.isfinite(soft_mask(torch.ones(1, 8, 8))).all()
