import torch
from torch.nn import functional as F

from joint.command import mixed_precision
from pixelworld.world import fast_bfloat16


def test_each_step_sees_what_the_step_before_it_learned():
    """Autocast keeps its copy of a parameter until it ends, so a whole training inside one would learn blindly."""
    parameter = torch.ones(4, 4, requires_grad=True)
    with mixed_precision():
        before = F.linear(torch.ones(1, 4), parameter)
        with torch.no_grad():
            parameter.add_(1)
        after = F.linear(torch.ones(1, 4), parameter)
    assert before.dtype is (torch.bfloat16 if fast_bfloat16() else torch.float32)
    assert torch.equal(after, 2 * before)
