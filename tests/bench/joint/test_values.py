"""Value residuals in joint attention: where they act, and where they must not."""

from __future__ import annotations

import pytest
import torch

from joint.values import ValueEdit, marks_of
from joint.ways import Way
from pixelworld.joint.transformer import TEXT_PLACES, WIDTH, velocity
from pixelworld.joint.world import the_joint_world

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def world(comfyui_path):
    return the_joint_world()


@pytest.fixture(scope="module")
def parts(world):
    """Two prompts of which the first names the subject: latents, sigmas, encodings, marks."""
    texts = ["a photo of a teddy bear in space", "a dog at the beach"]
    marks = torch.zeros(2, 26, 1)
    marks[:1, :, 0] = marks_of(world.text_encoder, texts[:1], "teddy bear", 26, Way())
    x = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    return x, torch.tensor([0.5, 0.5]), world.encode(texts), marks


def drawn(world, parts, size=1.0, **way):
    x, sigmas, encodings, marks = parts
    rows = way.get("terms", 1)
    residuals = {0: size * torch.ones(rows, WIDTH)}
    if rows == 2:
        residuals[0][1] = -2 * residuals[0][0]
    edit = ValueEdit.of(marks, sigmas, residuals, Way(**way))
    with torch.no_grad():
        return velocity(world.net, x, sigmas, encodings, edit.options())


def plain(world, parts):
    with torch.no_grad():
        return velocity(world.net, *parts[:3])


def test_a_prompt_without_the_concept_keeps_its_bits_beside_one_that_names_it(world, parts):
    """A concept changes no picture that does not ask for it."""
    changed, before = drawn(world, parts), plain(world, parts)
    assert torch.equal(changed[1], before[1])
    assert not torch.allclose(changed[0], before[0], atol=1e-3)


def test_two_terms_cancel_where_sigma_says_so(world, parts):
    """The second residual is times sigma: r - 2 r sigma is nothing at sigma one half."""
    assert torch.allclose(drawn(world, parts, terms=2), plain(world, parts), atol=1e-5)


@pytest.mark.parametrize("isolated", [True, False])
def test_isolation_keeps_the_text_s_own_rows(world, parts, isolated):
    """Later keys are the superclass's only if text never saw the residual."""
    seen = []
    handle = world.net.layers[0].register_forward_hook(lambda _m, _a, out: seen.append(out[:, :TEXT_PLACES].clone()))
    try:
        plain(world, parts), drawn(world, parts, isolated=isolated)
    finally:
        handle.remove()
    assert torch.allclose(seen[0], seen[1], atol=1e-5) == isolated


def test_the_last_token_alone_may_be_marked(world):
    """Of a superclass of two words, each way to mark it is what its row of the table says."""
    every, last = (marks_of(world.text_encoder, ["a teddy bear"], "teddy bear", 26, Way(last_token=w)) for w in (0, 1))
    assert every[0].nonzero()[:, 0].tolist() == [2, 3] and last[0].nonzero()[:, 0].tolist() == [3]
