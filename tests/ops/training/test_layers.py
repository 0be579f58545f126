"""Which layers a training edits: the choice itself, what is learned, and which trainings it tells apart."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from builders.tiny_model import SHORT, tiny_task
from perfusion_ops import EditedLayers, GateKind, train
from perfusion_ops.training.batch import run_identity

POSITION = replace(SHORT, gate_kind=GateKind.POSITION)
LATER = replace(POSITION, layers=EditedLayers.LATER_HALF)


@pytest.mark.parametrize(
    ("layers", "later"), [("abcdef", "def"), ("abcde", "cde"), ("ab", "b"), ("a", "a")], ids=lambda layers: layers
)
def test_the_later_half_ends_with_the_networks_last_layer(layers, later):
    """As measured: the last three of six. The middle one of an odd number is edited, so that one layer is too."""
    assert "".join(EditedLayers.LATER_HALF.among(layers)) == later
    assert "".join(EditedLayers.ALL.among(layers)) == layers


def test_a_training_of_the_later_half_learns_there_alone():
    """The concept holds the edited layers and no zeros for the others; what it holds has learned."""
    whole, half = (train(tiny_task(), settings).concept for settings in (POSITION, LATER))
    assert list(whole.value_residuals) == ["layer0", "layer1"] and list(half.value_residuals) == ["layer1"]
    assert half.value_residuals["layer1"].abs().max() > 0.01 and "layers=later_half" in half.metadata["training"]
    assert not torch.equal(half.value_residuals["layer1"], whole.value_residuals["layer1"])


def test_another_choice_is_another_training(tmp_path):
    """Who changes the layers of a cancelled training does not go on with half of a concept."""

    def stop(report):
        if report.step == 3:
            raise KeyboardInterrupt

    path, whole = tmp_path / "run.checkpoint", train(tiny_task(), LATER)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_task(), LATER, checkpoint=path, callback=stop)
    with pytest.raises(ValueError, match="belongs to a training with other pictures or settings"):
        train(tiny_task(), POSITION, checkpoint=path)
    resumed = train(tiny_task(), LATER, checkpoint=path)
    assert resumed.losses == whole.losses and len(whole.losses) > 3
    assert torch.equal(resumed.concept.value_residuals["layer1"], whole.concept.value_residuals["layer1"])


def test_trainings_of_all_layers_stay_the_trainings_they_were():
    """What was trained before there was a choice is still found on disk."""
    assert "layers" not in POSITION.as_dict() and "layers" not in SHORT.as_dict()
    assert run_identity(tiny_task(), LATER) != run_identity(tiny_task(), POSITION)


def test_a_learned_word_is_edited_in_all_layers():
    """A half that would leave the superclass's values in the other half is refused, not ignored."""
    with pytest.raises(ValueError, match="a learned word is edited in all layers; expected 'all', or the gate"):
        replace(SHORT, layers=EditedLayers.LATER_HALF)
