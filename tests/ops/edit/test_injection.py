"""Hooks on projections: exact while they are there, and removed whatever happens."""

from __future__ import annotations

import pytest
import torch

from builders.worlds import AttentionScene, attention_scene
from perfusion_ops import EditTerm, JointEdit, KeyLocking, inject


@pytest.fixture
def scene() -> AttentionScene:
    return attention_scene()


def test_an_injected_edit_equals_the_edit_by_hand(scene: AttentionScene) -> None:
    """A layer with hooks computes the edit, and nothing beside it."""
    world, layer, query, edit = scene.world, scene.layer, scene.query, scene.edit
    context = edit.contexts(world.encodings)
    by_hand = layer.attend(
        query, layer.to_k(context.keys), layer.to_v(context.values) + edit.value_delta("layer", context.gates)
    )
    without_residuals = layer.attend(query, layer.to_k(context.keys), layer.to_v(context.values))
    assert (by_hand - without_residuals).abs().max() > 1e-3 and (
        by_hand - layer(query, world.encodings)
    ).abs().max() > 1e-3
    with inject({"layer": (layer.to_k, layer.to_v)}) as injected:
        injected.use(context, edit.value_residuals)
        torch.testing.assert_close(layer(query, world.encodings), by_hand, rtol=0, atol=1e-12)


def test_hooks_are_gone_after_an_error_and_idle_after_clear(scene: AttentionScene) -> None:
    """After an error or a cancel the model draws as if the concept had never been there."""
    world, layer, query, edit = scene.world, scene.layer, scene.query, scene.edit
    plain = layer(query, world.encodings)
    with pytest.raises(KeyboardInterrupt), inject({"layer": (layer.to_k, layer.to_v)}) as injected:
        injected.use(edit.contexts(world.encodings), edit.value_residuals)
        assert not torch.equal(layer(query, world.encodings), plain)
        injected.clear()
        assert torch.equal(layer(query, world.encodings), plain)
        raise KeyboardInterrupt
    assert torch.equal(layer(query, world.encodings), plain)
    assert not layer.to_k._forward_pre_hooks and not layer.to_v._forward_hooks


def test_no_weight_is_written(scene: AttentionScene) -> None:
    """The checkpoint in memory stays the one that was loaded."""
    world, layer, query, edit = scene.world, scene.layer, scene.query, scene.edit
    before = [p.clone() for p in layer.parameters()]
    with inject({"layer": (layer.to_k, layer.to_v)}) as injected:
        injected.use(edit.contexts(world.encodings), edit.value_residuals)
        layer(query, world.encodings)
    assert all(torch.equal(a, b) for a, b in zip(before, layer.parameters(), strict=True))


def test_trained_keys_add_their_residual(scene: AttentionScene) -> None:
    """A concept with trained keys, the paper's ablation, is drawn with them."""
    world, layer = scene.world, scene.layer
    concept = world.concept(0)
    trained = type(concept)(**(vars(concept) | {"key_residuals": {"layer": world.residuals[1].float()}}))
    edit = JointEdit.of([EditTerm(trained, key_locking=KeyLocking.TRAINED)], dtype=torch.float64)
    context = edit.contexts(world.encodings)
    with inject({"layer": (layer.to_k, layer.to_v)}) as injected:
        injected.use(context, edit.value_residuals, edit.key_residuals)
        difference = layer.to_k(world.encodings) - context.keys @ layer.to_k.weight.mT
    torch.testing.assert_close(difference, context.gates * world.residuals[1].float().double())
