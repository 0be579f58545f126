"""Joint attention with a position gate, against softmax attention written out in float64."""

from __future__ import annotations

import pytest
import torch

from perfusion_ops.edit.joint_attention import attend_by_position

TEXT, PLACES, BEHIND, HEADS, WIDTH = 5, 6, 2, 4, 8
EVERYWHERE, LEFT, RIGHT = 0, 1, 2
REGIONS = {LEFT: torch.tensor([1.0, 1, 0, 0, 0.5, 0]), RIGHT: torch.tensor([0.0, 0, 1, 1, 0.25, 0])}


class Scene:
    """One sequence of text, picture and more behind them, and three concepts, of which two have a region.

    ``cached`` keys and values are of places that ask nothing, as reference pictures of earlier steps.
    """

    def __init__(self, text_first: bool, heads_of_residuals: int, cached: int) -> None:
        generator, length = torch.Generator().manual_seed(1), TEXT + PLACES + BEHIND
        shapes = [(2, HEADS, length + more, WIDTH) for more in (0, cached, cached)]
        self.queries, self.keys, self.values = (torch.randn(shape, generator=generator).double() for shape in shapes)
        self.text = 0 if text_first else PLACES
        self.picture = range(TEXT, TEXT + PLACES) if text_first else range(PLACES)
        text = TEXT if text_first else TEXT + BEHIND
        self.gates = torch.rand(2, text, 3, generator=generator).double()
        self.residuals = torch.randn(3, heads_of_residuals * WIDTH, generator=generator).double()
        self.shares = (self.queries @ self.keys.mT / WIDTH**0.5).softmax(-1)

    def expected(self) -> torch.Tensor:
        """Place by place: ``sum_n A_qn (V_n + sum_j g_jn m_jq r_j)`` where the picture is, ``A V`` elsewhere."""
        repeats = HEADS * WIDTH // self.residuals.shape[1]
        by_head = self.residuals.unflatten(-1, (-1, WIDTH)).repeat_interleave(repeats, 1)
        answer = self.shares @ self.values
        for number, place in enumerate(self.picture):
            for j in range(3):
                mask = REGIONS[j][number].item() if j in REGIONS else 1.0
                at_words = self.shares[:, :, place, self.text : self.text + self.gates.shape[1]]
                heard = (at_words * self.gates[:, None, :, j]).sum(-1, keepdim=True)
                answer[:, :, place] += mask * heard * by_head[j]
        return answer


@pytest.mark.parametrize("text_first", [True, False])
@pytest.mark.parametrize("cached", [0, 3])
@pytest.mark.parametrize(("heads_first", "heads_of_residuals"), [(True, HEADS), (True, 2), (False, HEADS)])
def test_each_concept_shows_in_its_region_and_to_the_picture_alone(heads_first, text_first, heads_of_residuals, cached):
    """One subject's look would show in another's region, in half of the heads, or in the words of later layers."""
    scene = Scene(text_first, heads_of_residuals, cached)
    others = [place for place in range(TEXT + PLACES + BEHIND) if place not in scene.picture]

    def attention(places):
        def attend(values: torch.Tensor) -> torch.Tensor:
            values = values if heads_first else values.unflatten(2, (HEADS, WIDTH)).transpose(1, 2)
            attended = scene.shares[:, :, list(places)] @ values
            return attended if heads_first else attended.transpose(1, 2).flatten(2)

        return attend

    def laid_out(tensor: torch.Tensor) -> torch.Tensor:
        return tensor if heads_first else tensor.transpose(1, 2).flatten(2)

    given = laid_out(scene.values), scene.gates, scene.residuals, PLACES, {j: m.double() for j, m in REGIONS.items()}
    found = attend_by_position(
        attention(scene.picture), attention(others), *given, heads_first, heads_first, text_first
    )
    torch.testing.assert_close(found, laid_out(scene.expected()))
