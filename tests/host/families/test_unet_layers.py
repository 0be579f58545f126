"""A U-Net whose layers another node has replaced, as packs do that share attention between pictures."""

from __future__ import annotations

import importlib

import pytest
import torch

from builders.answers import answers_at
from builders.places import PACK
from builders.workflows import LAYERS

LATENT = (1, 4, 8, 8)


class ForeignAttention(torch.nn.Module):
    """Reads a prompt by a matrix of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read = torch.nn.Linear(768, width)
        torch.nn.init.constant_(self.read.weight, 0.01)
        torch.nn.init.zeros_(self.read.bias)

    def forward(self, queries, context=None, **_others):
        return queries + self.read(context).mean(1, keepdim=True)


def replaced(model):
    clone = model.clone()
    clone.add_object_patch(f"diffusion_model.{LAYERS['sd1'][0]}", ForeignAttention(320))
    return clone


@pytest.fixture(scope="module")
def applied(pack, loaded, pack_concept):
    """``applied(model)``: a clone with the concept ``teddy_t``."""
    term = pack.ops.EditTerm(pack_concept("teddy_t", "bear", 1), pack.ops.Gate(-0.5, 0.15))
    return lambda model: pack.model.model_with_concept(model, pack.model.AppliedConcept(term))


@pytest.fixture(scope="module")
def answers(pack, loaded, pack_concept):
    """``answers(model)``: what it predicts for a prompt that names the concept, or one that names ``what`` instead."""
    clip = pack.clip.clip_with_concept(loaded[1], pack_concept("teddy_t", "bear", 1), 1.0, pack.ops.KeyLocking.LOCAL)

    def answer(model, what: str = "teddy_t"):
        texts = (f"a photo of a {what}", "blurry")
        conds = [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in texts]
        return answers_at(model, conds, LATENT, [0.5])

    return answer


def test_a_layer_of_another_node_is_refused_in_either_order(loaded, applied, answers):
    """Else the concept would have no effect there, and nobody would say so."""
    named = rf"{LAYERS['sd1'][0]} of the model is a ForeignAttention of another node.*without that node"
    with pytest.raises(ValueError, match=named):
        applied(replaced(loaded[0]))
    with pytest.raises(ValueError, match=named):
        answers(replaced(applied(loaded[0])))
    assert torch.equal(answers(replaced(applied(loaded[0])), "bear"), answers(replaced(loaded[0]), "bear"))
    # Once more, as the layer is in the loaded network now.
    with pytest.raises(ValueError, match=named):
        answers(replaced(applied(loaded[0])))


def test_a_layer_that_another_workflow_left_there_does_no_harm(pack, loaded, applied, answers):
    """The loaded model keeps such a layer until it is loaded anew: a workflow without it must still get its concept."""
    names = "nodes.training.checks", "perfusion_ops.text.covariance"
    checks, covariance = (importlib.import_module(f"{PACK}.{name}") for name in names)
    expected = answers(applied(loaded[0]))
    other = replaced(loaded[0])
    other.patch_model()
    try:
        assert isinstance(loaded[0].model.diffusion_model.get_submodule(LAYERS["sd1"][0]), ForeignAttention)
        model = applied(loaded[0])
        checks.check_statistics(covariance.UncenteredCovariance(768), loaded[0])
    finally:
        other.unpatch_model()
    assert torch.equal(answers(model), expected)


def test_a_layer_of_another_node_does_no_harm_in_a_compiled_network(loaded, applied, answers):
    """The host puts the compiled network in place for the time of a call: its layers are looked up again there."""
    model, plain = replaced(applied(loaded[0])), replaced(loaded[0])
    compiled = importlib.import_module("comfy_api.torch_helpers").set_torch_compile_wrapper
    for each in (model, plain):
        compiled(each, "eager", keys=["diffusion_model"])
    with torch.compiler.set_stance("force_eager"):
        assert torch.equal(answers(model, "bear"), answers(plain, "bear"))
        with pytest.raises(ValueError, match="is a ForeignAttention of another node"):
            answers(model)
