"""The training loop: what it learns and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from builders.tiny_model import SHORT, TinyDenoiser, TinyTextEncoder, assert_same_concept, tiny_task
from perfusion_ops import Gate, KeyLocking, Picture, TrainingSettings, inject, train
from perfusion_ops.edit.context import edit_context
from perfusion_ops.training.batch import draw_batch
from perfusion_ops.training.loop import training_step
from perfusion_ops.training.noise import NoiseSchedule, masked_loss
from perfusion_ops.training.state import TrainingState


def moved(concept) -> float:
    return max(residual.abs().max().item() for residual in concept.value_residuals.values())


def test_the_loss_falls_and_every_value_projection_learns() -> None:
    """Against the superclass on the very same draws: most of a denoiser's loss is noise no concept can explain."""
    settings = replace(SHORT, steps=150, batch_size=8, micro_batch=8)
    result = train(tiny_task(sizes=((6, 6),)), settings)
    untrained = train(tiny_task(sizes=((6, 6),)), replace(settings, value_learning_rate=0.0, word_learning_rate=0.0))
    better = [a < b for a, b in zip(result.losses[-50:], untrained.losses[-50:], strict=True)]
    assert sum(better) >= 45
    for layer, residual in result.concept.value_residuals.items():
        assert residual.abs().max() > 0.05, f"{layer} got no gradient (perfusion-pytorch's inverted parameters())"


def test_nothing_of_the_model_or_the_encoder_changes() -> None:
    task = tiny_task()
    frozen = [t.clone() for t in (*task.predict.parameters(), task.encoder.table)]
    train(task, SHORT)
    assert all(torch.equal(a, b) for a, b in zip(frozen, (*task.predict.parameters(), task.encoder.table), strict=True))
    assert all(p.grad is None for p in task.predict.parameters())


def test_two_runs_agree_to_the_bit_and_another_seed_differs() -> None:
    first, again = train(tiny_task(), SHORT), train(tiny_task(), SHORT)
    assert_same_concept(first.concept, again.concept)
    assert first.losses == again.losses
    other = train(tiny_task(), replace(SHORT, seed=8))
    assert not torch.equal(first.concept.target_input, other.concept.target_input)


def test_accumulated_micro_batches_give_the_gradient_of_the_whole_batch() -> None:
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
    task = tiny_task()
    start = task.encoder.initial_embeddings()["l"]
    frozen = train(task, replace(SHORT, word_learning_rate=0.0)).concept
    assert torch.equal(frozen.word_embeddings["l"], start) and moved(frozen) > 0
    slow = train(task, replace(SHORT, steps=1, word_learning_rate=0.001)).concept
    step = (slow.word_embeddings["l"] - start).abs().max().item()
    assert step == pytest.approx(0.001, rel=0.01), "Adam's first step is the learning rate, whatever the gradient"


def test_residuals_do_not_decay_without_a_gradient() -> None:
    """AdamW's default decay would pull the values toward zero, as ChenDarYen's trainer does."""
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
    task = tiny_task()
    settings = replace(SHORT, target_input_gradient=mode)
    encoding = torch.zeros(16, requires_grad=True)
    followed = TrainingState.start(task, settings).followed_target_input(encoding, settings)
    assert followed.requires_grad == reaches


@pytest.mark.parametrize("locking", list(KeyLocking))
def test_every_key_locking_trains(locking: KeyLocking) -> None:
    concept = train(tiny_task(), replace(SHORT, key_locking=locking)).concept
    assert moved(concept) > 0.01
    assert bool(concept.key_residuals) == (locking is KeyLocking.TRAINED)


def test_a_superclass_of_several_tokens_learns_the_last_in_any_place_of_a_template() -> None:
    task = tiny_task("big old cat", templates=("a {} here", "{}", "see the very small {} at night"))
    encoded = task.encoder.encode(list(task.templates), None)
    assert encoded.positions.tolist() == [4, 3, 7]
    concept = train(task, SHORT).concept
    assert moved(concept) > 0 and concept.superclass == "big old cat"


def test_a_concept_says_how_it_was_trained() -> None:
    text = train(tiny_task(metadata={"encoder": "e"}), replace(SHORT, steps=2)).concept.metadata["training"]
    said = dict(part.split("=") for part in text.split())
    assert (said["done"], said["steps"], said["batch_size"], said["seed"]) == ("2", "2", "6", "7")
    assert (said["bias"], said["temperature"], said["key_locking"]) == ("0.75", "0.1", "local")
    assert "micro_batch" not in said, "it only changes rounding"


def test_the_mask_decides_where_the_loss_looks() -> None:
    prediction, target = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    target[0, :, 0, 0] = 2.0
    mask = torch.zeros(2, 4, 4)
    mask[0, 0, 0], mask[0, 1, 1], mask[1, 2, 2] = 1.0, 0.5, 0.2
    assert masked_loss(prediction, target, mask).tolist() == pytest.approx([4 / 1.5, 0.0])
    whole = masked_loss(prediction, target, mask / mask.flatten(1).amax(1).view(-1, 1, 1))
    torch.testing.assert_close(whole, masked_loss(prediction, target, mask))
    per_row = masked_loss(prediction, target, mask / mask.amax(-1, keepdim=True).clamp_min(1e-9))
    assert (per_row - whole).abs().max() > 0.1, "a mask normalised per row, as perfusion-pytorch's, is another loss"


def test_flips_mirror_picture_and_mask_together() -> None:
    task = tiny_task(sizes=((6, 6),))
    settings = replace(SHORT, batch_size=64)
    draws = draw_batch(task, settings, torch.Generator().manual_seed(0))
    assert 16 < sum(draw.mirrored for draw in draws) < 48
    unflipped = draw_batch(task, replace(settings, flip=False), torch.Generator().manual_seed(0))
    assert not any(draw.mirrored for draw in unflipped)


def test_the_draws_do_not_depend_on_the_micro_batch() -> None:
    first = draw_batch(tiny_task(), SHORT, torch.Generator().manual_seed(1))
    second = draw_batch(tiny_task(), replace(SHORT, micro_batch=1), torch.Generator().manual_seed(1))
    assert all(torch.equal(a.noise, b.noise) and a.timestep == b.timestep for a, b in zip(first, second, strict=True))


def test_noise_is_gaussian_not_uniform() -> None:
    task = tiny_task(sizes=((32, 32),))
    noise = torch.stack([d.noise for d in draw_batch(task, SHORT, torch.Generator().manual_seed(0))])
    assert noise.std().item() == pytest.approx(1, abs=0.02) and noise.abs().max() > 3


def test_velocity_and_epsilon_targets_invert_to_the_same_picture() -> None:
    alphas = torch.tensor([0.9, 0.2], dtype=torch.float64)
    latents, noise = torch.randn(2, 4, 2, 2, dtype=torch.float64), torch.randn(2, 4, 2, 2, dtype=torch.float64)
    t = torch.tensor([0, 1])
    signal, spread = alphas.sqrt().view(2, 1, 1, 1), (1 - alphas).sqrt().view(2, 1, 1, 1)
    noisy = NoiseSchedule(alphas).add_noise(latents, noise, t)
    torch.testing.assert_close((noisy - spread * NoiseSchedule(alphas).target(latents, noise, t)) / signal, latents)
    velocity = NoiseSchedule(alphas, "velocity").target(latents, noise, t)
    torch.testing.assert_close(signal * noisy - spread * velocity, latents)


def test_bad_input_is_refused_with_a_sentence() -> None:
    latent = torch.zeros(4, 2, 2)
    with pytest.raises(ValueError, match="at least one picture"):
        tiny_task(sizes=())
    with pytest.raises(ValueError, match="has no text cross-attention"):
        tiny_task(projections={})
    with pytest.raises(ValueError, match="has 0 places for the concept; write exactly one"):
        tiny_task(templates=("a photo of a cat",))
    with pytest.raises(ValueError, match="mask is empty"):
        Picture(latent, torch.zeros(2, 2))
    with pytest.raises(ValueError, match=r"mask has shape \(3, 2\); expected \(2, 2\)"):
        Picture(latent, torch.ones(3, 2))
    with pytest.raises(ValueError, match="expected finite"):
        Picture(latent * float("nan"))
    with pytest.raises(ValueError, match="steps is 0; expected 1 or more"):
        TrainingSettings(steps=0)
    with pytest.raises(ValueError, match="Unknown prediction 'x0'"):
        NoiseSchedule(torch.ones(3), "x0")
