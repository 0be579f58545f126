"""perfusion-pytorch 0.1.23 beside ours, with the real covariance of SD 1.5's text encoder that it carries.

Where it is right we agree to 1e-5; where it is wrong, each test first shows its mistake and then that ours has none.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
import torch
from torch import nn

from builders import reference
from builders.tiny_model import SHORT, tiny_task
from perfusion_ops import EditTerm, Gate, JointEdit, train
from perfusion_ops.concept.concept import Concept
from perfusion_ops.edit.equations import value_delta
from perfusion_ops.training.noise import masked_loss

peer = pytest.importorskip("perfusion_pytorch.perfusion")

GATE = Gate(0.7, 0.15)
OUT = 32


@pytest.fixture(scope="module")
def covariance() -> torch.Tensor:
    path = files("perfusion_pytorch") / "data" / "covariance_CLIP_ViT-L-14.pt"
    return torch.load(str(path), weights_only=True, map_location="cpu").float()


@pytest.fixture(scope="module")
def encodings(covariance: torch.Tensor) -> torch.Tensor:
    """(2, 77, 768) with the second moment of real CLIP encodings."""
    root = torch.linalg.cholesky(covariance.double()).float()
    return torch.randn(2, 77, 768, generator=torch.Generator().manual_seed(0)) @ root.mT


def trained_module(covariance, encodings, position: int = 5):
    """Their module after the one training forward that sets i* and the outputs."""
    torch.manual_seed(0)
    module = peer.Rank1EditModule(nn.Linear(768, OUT, bias=False), C=covariance)
    superclass = encodings.roll(1, 0)
    module(encodings, concept_indices=torch.full((2,), position), text_enc_with_superclass=superclass)
    return module.eval()


def our_concept(module, word: str = "<a>") -> Concept:
    target_input = module.ema_concept_text_encs[0].detach()
    return Concept(
        word=word,
        superclass="cat",
        base_family="sd1",
        target_input=target_input,
        target_dual=(module.C_inv @ target_input).detach(),
        superclass_encoding=torch.zeros(768),
        word_embeddings={"l": torch.zeros(768)},
        value_residuals={"layer": module.concept_outputs[0].detach().clone()},
    )


def our_output(modules, encodings: torch.Tensor) -> torch.Tensor:
    concepts = [our_concept(module, f"<{n}>") for n, module in enumerate(modules)]
    edit = JointEdit.of([EditTerm(concept, GATE) for concept in concepts])
    context = edit.contexts(encodings)
    return context.values @ modules[0].weight.detach().mT + value_delta(context.gates, edit.value_residuals["layer"])


def oracle_output(modules, encodings: torch.Tensor, covariance: torch.Tensor) -> np.ndarray:
    return np.stack(
        [
            reference.joint_output(
                modules[0].weight.detach().double().numpy(),
                e.double().numpy(),
                [m.ema_concept_text_encs[0].double().numpy() for m in modules],
                [m.concept_outputs[0].detach().double().numpy() for m in modules],
                covariance.double().numpy(),
                [GATE.bias] * len(modules),
                [GATE.temperature] * len(modules),
            )
            for e in encodings[0, :12]
        ]
    )


def test_the_real_covariance_is_what_the_design_says(covariance) -> None:
    """The tests' small covariances are as uneven as the real one."""
    eigenvalues = torch.linalg.eigvalsh(covariance.double())
    assert 3e3 < eigenvalues[-1] / eigenvalues[0] < 5e3
    assert 0.27 < eigenvalues[-1] / eigenvalues.sum() < 0.31


def test_a_single_concept_agrees(covariance, encodings) -> None:
    """Where the best known reimplementation is right, ours draws the same."""
    module = trained_module(covariance, encodings)
    theirs = module(encodings)
    torch.testing.assert_close(our_output([module], encodings), theirs, rtol=1e-5, atol=1e-5)
    assert (theirs - encodings @ module.weight.mT).abs().max() > 0.1, "the edit must have done something"


def test_their_approximate_joint_edit_leaves_a_concepts_own_component(covariance, encodings) -> None:
    """Two concepts in one prompt do not carry a part of each other; in theirs they do."""
    blend = encodings.clone()
    blend[:, 9] = 0.8 * encodings[:, 5] + 0.6 * encodings[:, 9]
    modules = [trained_module(covariance, blend, 5), trained_module(covariance, blend, 9)]
    oracle = oracle_output(modules, blend, covariance)
    theirs = peer.merge_rank1_edit_modules(*modules).eval()(blend, concept_id=(0, 1))[0, :12].detach()
    assert np.abs(theirs.detach().numpy() - oracle).max() > 0.1
    np.testing.assert_allclose(our_output(modules, blend)[0, :12].detach().numpy(), oracle, rtol=0, atol=1e-3)


def test_their_cholesky_branch_projects_in_the_wrong_metric(covariance, encodings) -> None:
    """Two concepts are told apart in the paper's metric; in theirs they are not."""
    modules = [trained_module(covariance, encodings, 5), trained_module(covariance, encodings, 9)]
    merged = peer.merge_rank1_edit_modules(*modules, use_cholesky=True)
    theirs = merged.eval()(encodings, concept_id=(0, 1))[0, :12].detach()
    oracle = oracle_output(modules, encodings, covariance)
    assert np.abs(theirs.detach().numpy() - oracle).max() > 0.1
    np.testing.assert_allclose(our_output(modules, encodings)[0, :12].detach().numpy(), oracle, rtol=0, atol=1e-3)


def test_their_value_projections_are_not_among_the_trained_parameters(covariance) -> None:
    """The look is learned; in theirs nothing of it is."""
    linear = nn.Linear(768, OUT, bias=False)
    assert list(peer.Rank1EditModule(linear, C=covariance, is_key_proj=False).parameters()) == []
    key = peer.Rank1EditModule(linear, C=covariance, is_key_proj=True)
    assert [p.requires_grad for p in key.parameters()] == [False]
    assert all(r.abs().max() > 0 for r in train(tiny_task(), SHORT).concept.value_residuals.values())


def test_their_wiring_helper_asks_for_an_argument_that_does_not_exist(covariance) -> None:
    """What the README may say of theirs: its helper cannot be called."""
    attention = nn.ModuleDict({"k": nn.Linear(768, OUT, bias=False), "v": nn.Linear(768, OUT, bias=False)})
    attention.k, attention.v = attention["k"], attention["v"]
    with pytest.raises(TypeError, match="input_covariance"):
        peer.make_key_value_proj_rank1_edit_modules_(
            attention, input_covariance=covariance, key_proj_name="k", value_proj_name="v"
        )


def test_two_concepts_in_their_constructor_crash(covariance) -> None:
    """What the README may say of theirs: two concepts cannot be made."""
    with pytest.raises(AttributeError, match="multi_concepts_use_cholesky"):
        peer.Rank1EditModule(nn.Linear(768, OUT, bias=False), C=covariance, num_concepts=2)


def test_their_mask_is_normalised_per_row_and_their_loss_cannot_be_called(monkeypatch) -> None:
    """A mask weighs each part of a picture as it says; in theirs a dim row counts as fully as a bright one."""
    prediction, target = torch.zeros(1, 4, 2, 2), torch.ones(1, 4, 2, 2)
    target[:, :, 1] = 3.0
    mask = torch.tensor([[[1.0, 1.0], [0.25, 0.25]]])
    with pytest.raises(TypeError, match="reduction"):
        peer.loss_fn_weighted_by_mask(prediction, target, mask)
    monkeypatch.setattr(peer, "reduce", lambda loss, _pattern: loss.mean(1))
    theirs = peer.loss_fn_weighted_by_mask(prediction, target, mask)
    unmasked = peer.loss_fn_weighted_by_mask(prediction, target, torch.ones(1, 2, 2))
    assert torch.equal(theirs, unmasked), "a dimmer row counts as fully as the brightest"
    assert masked_loss(prediction, target, mask).item() == pytest.approx((2 * 1 + 0.5 * 9) / 2.5)


def test_scaling_a_gradient_does_not_slow_adam() -> None:
    """The word's own learning rate acts.

    Theirs scales its gradient, which Adam takes no notice of; ours is a parameter group (test_loop).
    """

    def moved(scale: float) -> float:
        parameter = torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.Adam([parameter], lr=0.03)
        for _ in range(10):
            parameter.grad = torch.full((1,), scale)
            optimizer.step()
        return parameter.item()

    assert moved(0.1) == pytest.approx(moved(1.0), rel=1e-4)


def test_their_file_carries_the_covariance_and_ours_does_not(covariance, encodings) -> None:
    """A concept is a file of kilobytes; theirs is one of megabytes."""
    module = trained_module(covariance, encodings)
    assert sum(t.numel() * 4 for t in module.state_dict().values()) > 2_300_000
    ours = our_concept(module)
    stored = (ours.target_input, ours.target_dual, ours.superclass_encoding, *ours.value_residuals.values())
    assert sum(t.numel() * 4 for t in stored) < 10_000
