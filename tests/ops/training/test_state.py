"""What is learned: the word, the target input and the residuals; and checkpoints of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from builders.tiny_model import SHORT, tiny_task
from perfusion_ops import NoiseSchedule, train
from perfusion_ops.training.state import TrainingState


def test_residuals_do_not_decay_without_a_gradient() -> None:
    """What was learned stays. AdamW's default decay would pull the values toward zero, as ChenDarYen's trainer does."""
    task = tiny_task()
    state = TrainingState.start(task, SHORT)
    with torch.no_grad():
        for residual in state.value_residuals.values():
            residual.fill_(1.0)
    for residual in state.value_residuals.values():
        residual.grad = torch.zeros_like(residual)
    state.optimizer.step()
    assert all((residual == 1.0).all() for residual in state.value_residuals.values())


def test_the_target_input_is_a_moving_average_taken_once_per_step() -> None:
    """The concept's place among words settles as fast as the setting says, whatever the micro-batch."""
    task = tiny_task(templates=("the {}",))
    settings = replace(SHORT, steps=1, word_learning_rate=0.0, target_input_decay=0.9, batch_size=6, micro_batch=1)
    with torch.no_grad():
        superclass = task.encoder.encode(["the {}"], None).concept_encodings()[0]
    concept = train(task, settings).concept
    torch.testing.assert_close(concept.target_input, superclass)
    state = TrainingState.start(task, settings)
    followed = state.followed_target_input(superclass + 1, settings)
    torch.testing.assert_close(followed, superclass + 0.1)


@pytest.mark.parametrize("mode, reaches", [("straight_through", True), ("none", False)])
def test_gradients_through_the_target_input_are_a_choice(mode: str, reaches: bool) -> None:
    """Both readings of the paper can be trained."""
    task = tiny_task()
    settings = replace(SHORT, target_input_gradient=mode)
    encoding = torch.zeros(16, requires_grad=True)
    followed = TrainingState.start(task, settings).followed_target_input(encoding, settings)
    assert followed.requires_grad == reaches


def test_a_checkpoint_of_another_run_is_refused(tmp_path) -> None:
    """A training never goes on from another one's concept."""
    path = tmp_path / "run.safetensors"
    train(tiny_task(), replace(SHORT, steps=5), checkpoint=path)
    with pytest.raises(ValueError, match="run.safetensors' belongs to a training with other pictures or settings"):
        train(tiny_task(), SHORT, checkpoint=path)


@pytest.mark.parametrize("changed", ["statistics", "schedule", "prediction", "mask", "mirror image", "caption"])
def test_a_checkpoint_of_the_same_pictures_under_another_metric_or_noise_is_refused(tmp_path, changed: str) -> None:
    """A training never goes on with other statistics, masks or captions, or another kind of model than it began with.
    """
    path, task = tmp_path / "run.safetensors", tiny_task()
    train(task, replace(SHORT, steps=5), checkpoint=path)
    others = {
        "statistics": {"inverse_covariance": task.inverse_covariance + torch.eye(16)},
        "schedule": {"schedule": NoiseSchedule(torch.linspace(0.99, 0.01, 100))},
        "prediction": {"schedule": replace(task.schedule, prediction="velocity")},
    }
    first, *rest = task.pictures
    changes = {"mask": {"mask": first.mask + 1}, "mirror image": {"mirrored": None}}
    changes["caption"] = {"templates": ("a {}",)}
    others |= {name: {"pictures": [replace(first, **change), *rest]} for name, change in changes.items()}
    train(task, replace(SHORT, steps=5), checkpoint=path)
    with pytest.raises(ValueError, match="belongs to a training with other pictures or settings"):
        train(replace(task, **others[changed]), replace(SHORT, steps=5), checkpoint=path)


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path) -> None:
    """Who cannot go on is told which file to delete."""
    path = tmp_path / "run.safetensors"
    train(tiny_task(), replace(SHORT, steps=5), checkpoint=path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="The checkpoint 'run.safetensors' is damaged .* Delete it to start anew"):
        train(tiny_task(), replace(SHORT, steps=5), checkpoint=path)


def test_what_was_learned_is_read_in_few_transfers_however_many_layers_there_are(monkeypatch) -> None:
    """An accelerator waits at each transfer: SDXL has 70 layers, and the loss is read every ten steps."""
    task, cpu, transfers = tiny_task(), torch.Tensor.cpu, []
    state = TrainingState.start(task, SHORT)
    state.value_residuals = {f"layer{n}": torch.full((7,), float(n)) for n in range(70)}
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: transfers.append(tensor) or cpu(tensor))
    concept = state.concept(task, SHORT)
    assert state.is_finite() and len(transfers) < 10
    assert all(torch.equal(concept.value_residuals[name], tensor) for name, tensor in state.value_residuals.items())
    state.value_residuals["layer69"][3] = float("nan")
    assert not state.is_finite()
