"""Regions: a concept's look stays inside its mask, and nothing else of the picture changes."""

from __future__ import annotations

import pytest
import torch

from builders.worlds import attention_scene
from perfusion_ops.edit.regions import mask_at, regional_attention


@pytest.fixture
def regional():
    """Values without the concepts' deltas, the delta of each concept, and the layer from values to its output."""
    scene = attention_scene()
    layer, edit = scene.layer, scene.edit
    context = edit.contexts(scene.world.encodings)
    keys, values = layer.to_k(context.keys), layer.to_v(context.values)
    columns = [context.gates[..., [j]] @ edit.value_residuals["layer"][[j]] for j in range(2)]
    return values, columns, lambda v: layer.attend(scene.query, keys, v)


def test_region_masks_partition_the_picture(regional) -> None:
    """Two concepts with a region each stay each in its own."""
    values, deltas, attend = regional
    left = torch.arange(16) < 8
    whole = attend(values + deltas[0])
    halves = regional_attention(attend, values, [deltas[0], deltas[0]], [left, ~left])
    torch.testing.assert_close(halves, whole, rtol=0, atol=1e-12)
    both = regional_attention(attend, values, deltas, [left, ~left])
    torch.testing.assert_close(both[:, :8], attend(values + deltas[0])[:, :8], rtol=0, atol=1e-12)
    torch.testing.assert_close(both[:, 8:], attend(values + deltas[1])[:, 8:], rtol=0, atol=1e-12)
    assert (both - whole).abs().max() > 1e-2, "the second region must differ"


def test_masks_of_one_everywhere_are_the_joint_edit(regional) -> None:
    """A region over the whole picture is the same as none."""
    values, deltas, attend = regional
    everywhere = torch.ones(16)
    joint = attend(values + deltas[0] + deltas[1])
    torch.testing.assert_close(
        regional_attention(attend, values, deltas, [everywhere, everywhere]), joint, rtol=0, atol=1e-12
    )


def test_a_mask_is_averaged_over_each_cell() -> None:
    """A mask's edge is kept in small layers too, as the share of a cell that it covers."""
    mask = torch.zeros(8, 8)
    mask[:, :2] = 1
    assert mask_at(mask, 2, 2).tolist() == [0.5, 0.0, 0.5, 0.0]
