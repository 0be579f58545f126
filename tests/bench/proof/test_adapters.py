"""The LoRAs that the proof compares with: as strong as they say, and gone afterwards."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from proof.adapters import adapted, moved_weights, new_pairs


def test_two_adapters_add_up_and_two_weight_changes_leave_nothing_behind():
    """Two LoRAs in one picture are both there, and the next method starts from the plain model."""
    module, x = nn.Linear(5, 4), torch.randn(2, 5)
    before = module(x)
    one, two = ((torch.randn(2, 5), torch.randn(4, 2)) for _ in range(2))
    with adapted({"layer": module}, {"layer": one}), adapted({"layer": module}, {"layer": two}):
        both = module(x)
    changes = [{"weight": up @ down} for down, up in (one, two)]
    with moved_weights(module, changes[0]), moved_weights(module, changes[1]):
        assert torch.allclose(module(x), both, atol=1e-5) and not torch.allclose(both, before)
    assert torch.equal(module(x), before)


@pytest.mark.parametrize("module", [nn.Linear(5, 4), nn.Conv2d(5, 4, 3, stride=2, padding=1)])
def test_adapter_equals_the_changed_weight_and_leaves_nothing_behind(module):
    """The LoRA that ours is compared with is a real one, at its full strength."""
    x = torch.randn(2, 5) if isinstance(module, nn.Linear) else torch.randn(2, 5, 6, 6)
    before = module(x)
    pairs = new_pairs({"layer": module}, 2, seed=0)
    with adapted({"layer": module}, pairs):
        assert torch.equal(module(x), before)
    down, up = pairs["layer"][0].detach(), torch.randn(4, 2)
    with adapted({"layer": module}, {"layer": (down, up)}, 0.5):
        changed = module(x)
    assert torch.equal(module(x), before)
    assert not torch.allclose(changed, before)
    with moved_weights(module, {"weight": (up @ down.flatten(1)).view_as(module.weight)}, 0.5):
        assert torch.allclose(module(x), changed, atol=1e-5)
    assert torch.equal(module(x), before)
