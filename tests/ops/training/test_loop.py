"""The training loop: what it learns and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from builders.tiny_model import SHORT, TinyDenoiser, TinyTextEncoder, assert_same_concept, tiny_task
from perfusion_ops import Gate, KeyLocking, inject, train
from perfusion_ops.edit.context import edit_context
from perfusion_ops.training.batch import draw_batch
from perfusion_ops.training.loop import training_step
from perfusion_ops.training.noise import masked_loss
from perfusion_ops.training.state import TrainingState


def moved(concept) -> float:
    return max(residual.abs().max().item() for residual in concept.value_residuals.values())


def test_the_loss_falls_and_every_value_projection_learns() -> None:
    """Training learns the subject, in every layer.

    Measured against the superclass on the very same draws: most of a denoiser's loss is noise no concept can explain.
    """
    settings = replace(SHORT, steps=150, batch_size=8, micro_batch=8)
    result = train(tiny_task(sizes=((6, 6),)), settings)
    untrained = train(tiny_task(sizes=((6, 6),)), replace(settings, value_learning_rate=0.0, word_learning_rate=0.0))
    better = [a < b for a, b in zip(result.losses[-50:], untrained.losses[-50:], strict=True)]
    assert sum(better) >= 45
    for layer, residual in result.concept.value_residuals.items():
        assert residual.abs().max() > 0.05, f"{layer} got no gradient (perfusion-pytorch's inverted parameters())"


def test_nothing_of_the_model_or_the_encoder_changes() -> None:
    """The checkpoint draws after a training what it drew before."""
    task = tiny_task()
    frozen = [t.clone() for t in (*task.predict.parameters(), task.encoder.table)]
    train(task, SHORT)
    assert all(torch.equal(a, b) for a, b in zip(frozen, (*task.predict.parameters(), task.encoder.table), strict=True))
    assert all(p.grad is None for p in task.predict.parameters())


def test_two_runs_agree_to_the_bit_and_another_seed_differs() -> None:
    """The same pictures, settings and seed give the same concept."""
    first, again = train(tiny_task(), SHORT), train(tiny_task(), SHORT)
    assert_same_concept(first.concept, again.concept)
    assert first.losses == again.losses
    other = train(tiny_task(), replace(SHORT, seed=8))
    assert not torch.equal(first.concept.target_input, other.concept.target_input)


def test_accumulated_micro_batches_give_the_gradient_of_the_whole_batch() -> None:
    """A small card learns what a large one learns."""
    task = tiny_task(sizes=((6, 6), (6, 8)))

    def gradients(micro_batch: int) -> list[torch.Tensor]:
        settings = replace(SHORT, micro_batch=micro_batch)
        state = TrainingState.start(task, settings)
        draws = draw_batch(task, settings, torch.Generator().manual_seed(0))
        with inject(task.projections) as injected:
            training_step(task, settings, state, draws, injected, {})
        return [p.grad for group in state.optimizer.param_groups for p in group["params"]]

    for one, many in zip(gradients(1), gradients(6), strict=True):
        torch.testing.assert_close(one, many, rtol=1e-4, atol=1e-7)


def test_each_distinct_template_is_encoded_once_a_step() -> None:
    """A large batch does not cost a text encoder's work for every picture."""
    task = tiny_task()
    train(task, replace(SHORT, batch_size=32, micro_batch=4))
    assert max(task.encoder.distinct) == 3, "32 pictures, but only three templates"


def test_gradients_to_the_word_equal_finite_differences() -> None:
    """Through the frozen text encoder, the straight-through target input, the edit and the denoiser, in float64."""
    encoder = TinyTextEncoder("cat", dtype=torch.float64)
    denoiser = TinyDenoiser(dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    noisy, noise = (torch.randn(2, 4, 6, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    metric = torch.diag(torch.logspace(0, 3, 16, dtype=torch.float64))
    with torch.no_grad():
        superclass = encoder.encode(["a {}"], None).concept_encodings().mean(0, keepdim=True)

    def loss(word: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        encoded = encoder.encode(["a photo of a {}", "my {} at night"], {"l": word})
        target_input = encoded.concept_encodings().mean(0, keepdim=True)
        context = edit_context(
            encoded.encodings, target_input, target_input @ metric, superclass, [Gate(0.75, 0.1)], [KeyLocking.LOCAL]
        )
        with inject(denoiser.projections) as injected:
            injected.use(context, {layer: residual.unsqueeze(0) for layer in denoiser.projections})
            prediction = denoiser(noisy, torch.tensor([10, 60]), encoded.encodings)
        return masked_loss(prediction.double(), noise, torch.ones(2, 6, 6, dtype=torch.float64)).double().sum()

    word = encoder.initial_embeddings()["l"].requires_grad_()
    residual = (0.1 * torch.randn(12, generator=generator, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(loss, (word, residual), eps=1e-6, atol=1e-6)
    (gradient,) = torch.autograd.grad(loss(word, residual), word)
    assert gradient.abs().max() > 1e-3, "a gradient of zero would pass the check above"


def test_the_word_moves_only_by_its_own_learning_rate() -> None:
    """The two learning rates on the node are two."""
    task = tiny_task()
    start = task.encoder.initial_embeddings()["l"]
    frozen = train(task, replace(SHORT, word_learning_rate=0.0)).concept
    assert torch.equal(frozen.word_embeddings["l"], start) and moved(frozen) > 0
    slow = train(task, replace(SHORT, steps=1, word_learning_rate=0.001)).concept
    step = (slow.word_embeddings["l"] - start).abs().max().item()
    assert step == pytest.approx(0.001, rel=0.01), "Adam's first step is the learning rate, whatever the gradient"


@pytest.mark.parametrize("locking", list(KeyLocking))
def test_every_key_locking_trains(locking: KeyLocking) -> None:
    """Every choice of ``key_locking`` trains a concept."""
    concept = train(tiny_task(), replace(SHORT, key_locking=locking)).concept
    assert moved(concept) > 0.01
    assert bool(concept.key_residuals) == (locking is KeyLocking.TRAINED)


def test_a_superclass_of_several_tokens_learns_the_last_in_any_place_of_a_template() -> None:
    """A superclass of several words, such as teddy bear, can be taught."""
    task = tiny_task("big old cat", templates=("a {} here", "{}", "see the very small {} at night"))
    encoded = task.encoder.encode(list(task.templates), None)
    assert encoded.positions.tolist() == [4, 3, 7]
    concept = train(task, SHORT).concept
    assert moved(concept) > 0 and concept.superclass == "big old cat"
