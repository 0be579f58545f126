"""Training in transformers with text cross-attention: what it reads, predicts and finds."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from builders.cross_models import LEARNED
from builders.cross_world import TEXT

pytestmark = pytest.mark.parametrize("cross_world", LEARNED, indirect=True)


@pytest.fixture
def world(cross_world):
    return cross_world


def predicting(world, recompute: bool = False):
    """(injection, predict, encoder) of a training, on private copies."""
    encoders, device = world.pack.encoders.private_encoders(world.clip, recompute)
    private = world.private(recompute)
    encoder = private.text_encoder(world.model, world.clip, encoders, "teddy bear", device)
    injection = world.pack.cross_model.CrossInjection(world.family.layers(private.unet))
    return injection, world.pack.cross_model.cross_predictor(world.model, private.unet, device, torch.float32), encoder


def test_training_reads_and_predicts_as_sampling_does(world):
    """A concept is drawn from the very encodings, and by the very network, that it was trained on."""
    concept = world.concept()
    injection, predict, encoder = predicting(world)
    with torch.inference_mode(False), torch.no_grad(), injection.inject():
        encoded = encoder.encode([TEXT], dict(concept.word_embeddings))
        superclass = encoder.encode([TEXT], None)
        noisy = world.noise()
        timestep = torch.tensor([300])
        predicted = predict(noisy, timestep, superclass.encodings)
    torch.testing.assert_close(encoded.concept_encodings()[0], concept.target_input, rtol=1e-4, atol=1e-4)
    text = TEXT.format("teddy bear")
    plain = world.context(text)
    torch.testing.assert_close(superclass.encodings[:, : plain.shape[1]], plain, rtol=1e-4, atol=1e-4)
    assert encoded.keep.any() and not encoded.keep[0, : encoded.positions[0] + 1].any()
    time = world.family.times(world.model)[timestep]
    expected = world.net(noisy.view(1, *world.facts.latent), time, world.given(text))
    torch.testing.assert_close(predicted, expected.view_as(noisy), rtol=1e-3, atol=1e-4)


WORD_STEP, VALUE_STEP = 5e-4, 0.2
"""Of finite differences: T5 bends within a hundredth of a word's size. Smaller steps are lost in rounding."""


@torch.no_grad()
def four_point_difference(value, leaf: torch.Tensor, direction: torch.Tensor, step: float) -> float:
    """The derivative of ``value()`` in ``leaf`` along ``direction``, exact to the fourth power of ``step``."""
    start, found = leaf.clone(), {}
    for count in (-2, -1, 1, 2):
        leaf.copy_(start + count * step * direction)
        found[count] = value().item()
    leaf.copy_(start)
    return (8 * (found[1] - found[-1]) - (found[2] - found[-2])) / (12 * step)


def test_the_gradient_reaches_the_word_and_every_layer(world):
    """Through the network's attention, its reading layers and the text encoder; against finite differences."""
    injection, predict, encoder = predicting(world, recompute=True)
    word = {world.facts.encoder: encoder.initial_embeddings()[world.facts.encoder].requires_grad_()}
    noisy = world.noise()
    probe = torch.randn(noisy.shape, generator=torch.Generator().manual_seed(4))
    layers = world.family.value_widths(world.net)
    residuals = {name: torch.zeros(1, width, requires_grad=True) for name, width in layers.items()}
    with torch.inference_mode(False), torch.enable_grad(), injection.inject() as injected:

        def value() -> torch.Tensor:
            encoded = encoder.encode([TEXT], word)
            gates = encoded.marks.unsqueeze(-1)
            injected.use(world.pack.ops.EditedContext(encoded.encodings, encoded.encodings, gates), residuals)
            return (probe * predict(noisy, torch.tensor([300]), encoded.encodings)).sum()

        value().backward()
        steps = {word[world.facts.encoder]: WORD_STEP} | dict.fromkeys(residuals.values(), VALUE_STEP)
        for leaf, step in steps.items():
            direction = torch.randn(leaf.shape, generator=torch.Generator().manual_seed(5))
            difference = four_point_difference(value, leaf, direction, step)
            assert (leaf.grad * direction).sum().item() == pytest.approx(difference, rel=0.03, abs=5e-4)
            assert leaf.grad.norm() > 0


@pytest.fixture
def task(world, monkeypatch, tmp_path):
    """A training of two random latents, with the statistics of the world's own CLIP and network."""
    monkeypatch.setattr(world.pack.folders, "statistics_folder", lambda: tmp_path)
    statistics = world.pack.statistics.measured(world.clip, CAPTIONS, world.model)
    assert statistics.counts.tolist()[3] == 0 and torch.equal(
        world.pack.statistics.measured(world.clip, CAPTIONS, world.model).sums, statistics.sums
    )
    ridge = 0.1 * statistics.matrix().diagonal().mean() * torch.eye(world.width)
    inverse = torch.linalg.inv(statistics.matrix() + ridge)
    encoders, device = world.pack.encoders.private_encoders(world.clip)
    private = world.private()
    encoder = private.text_encoder(world.model, world.clip, encoders, "teddy bear", device)
    generator = torch.Generator().manual_seed(8)
    channels, *_, side = world.facts.latent
    latents = [torch.randn(channels, side, width, generator=generator) for width in (side, side + 2)]
    pictures = [world.pack.ops.Picture(latent) for latent in latents]
    arguments = ("my_bear", pictures, (TEXT, "the {}"), inverse, {"encoder": "e"})
    return world.pack.task.training_task(world.model, private, encoder, *arguments)


CAPTIONS = [f"a {size} {thing} in the {place}" for size in ("big", "tiny") for thing in ("dog", "car", "red cup")
            for place in ("sea", "snow", "old house")]  # fmt: skip


def test_hidden_residuals_are_learned_back_by_the_training(world, task):
    """The whole training, with its draws of noise and its text encoder, finds the look that a teacher draws with."""
    ops = world.pack.ops
    settings = ops.TrainingSettings(
        steps=30, batch_size=4, value_learning_rate=0.2, word_learning_rate=0.0, gate=ops.Gate(0.75, 0.1)
    )
    generator = torch.Generator().manual_seed(9)
    hidden = {name: torch.randn(width, generator=generator) for name, width in task.value_widths.items()}
    teacher = _Teacher(world, task, settings, hidden)
    with torch.inference_mode(False), torch.enable_grad(), teacher:
        taught = dataclasses.replace(task, templates=(TEXT,), schedule=teacher.schedule(task.schedule))
        concept = ops.train(taught, settings)
    similarity = [
        torch.cosine_similarity(concept.concept.value_residuals[name], residual, dim=0).item()
        for name, residual in hidden.items()
    ]
    assert min(similarity) > 0.6, similarity
    assert concept.losses[-1] < 0.1 * concept.losses[0]


class _Teacher:
    """A second private copy, which always draws with the hidden residuals."""

    def __init__(self, world, task, settings, hidden) -> None:
        self.world, self.hidden = world, {name: residual.unsqueeze(0) for name, residual in hidden.items()}
        with torch.no_grad():
            encoded = task.encoder.encode([TEXT], None)
        heard = encoded.concept_encodings()
        edit = world.pack.context.edit_context(
            encoded.encodings,
            heard,
            (task.inverse_covariance.float() @ heard[0]).unsqueeze(0),
            heard,
            [settings.gate],
            [settings.key_locking],
        )
        self.context = edit.keeping(encoded.keep, encoded.encodings)
        private = world.private()
        self.injection = world.pack.cross_model.CrossInjection(world.family.layers(private.unet))
        self.predict = world.pack.cross_model.cross_predictor(world.model, private.unet, private.device, torch.float32)

    def __enter__(self) -> None:
        self.active = self.injection.inject()
        self.injected = self.active.__enter__()

    def __exit__(self, *error) -> None:
        self.active.__exit__(*error)

    def schedule(self, flow):
        teacher = self

        class Taught(type(flow)):
            @torch.no_grad()
            def target(self, latents, noise, timesteps):
                rows = teacher.context.rows(torch.zeros(len(latents), dtype=torch.long))
                teacher.injected.use(rows, teacher.hidden)
                return teacher.predict(self.add_noise(latents, noise, timesteps), timesteps, rows.keys)

        return Taught(**vars(flow))


def test_prompts_of_all_lengths_learn_in_one_batch(world):
    """A short caption beside a long one is read as it is read alone: what fills it up says nothing."""
    injection, predict, encoder = predicting(world)
    texts, noisy = ["a {}", TEXT], world.noise()
    with torch.inference_mode(False), torch.no_grad(), injection.inject():
        together = encoder.encode(texts, None).encodings
        found = predict(noisy.expand(2, *noisy.shape[1:]), torch.tensor([300, 300]), together)
    time = world.family.times(world.model)[300].unsqueeze(0)
    for row, text in zip(found, texts, strict=True):
        expected = world.net(noisy.view(1, *world.facts.latent), time, world.given(text.format("teddy bear")))
        torch.testing.assert_close(row, expected.view_as(row), rtol=1e-3, atol=1e-3)


def test_a_training_that_was_cancelled_or_short_of_memory_ends_alike(world, task, tmp_path):
    """Cancel and queue again: the same concept to the bit. Memory runs out in a layer and in the text encoder: the
    same, by half a batch."""
    ops = world.pack.ops
    settings = ops.TrainingSettings(steps=4, batch_size=2, seed=3)

    class Cancelled(Exception):
        pass

    def cancel(report) -> None:
        if report.step == 2:
            raise Cancelled

    with torch.inference_mode(False), torch.enable_grad():
        whole = ops.train(task, settings).concept
        with pytest.raises(Cancelled):
            ops.train(task, settings, checkpoint=tmp_path / "run", callback=cancel)
        resumed = ops.train(task, settings, checkpoint=tmp_path / "run").concept
        for part in (next(iter(task.projections.values()))[1], next(iter(task.encoder.encoders.values()))):
            _runs_out_of_memory_once(part, after=8)
        halved = ops.train(task, settings, is_out_of_memory=world.pack.device_memory.is_out_of_memory).concept
    assert torch.equal(resumed.target_input, whole.target_input)
    for group in ("word_embeddings", "value_residuals"):
        parts = getattr(whole, group)
        assert all(torch.equal(getattr(resumed, group)[name], parts[name]) for name in parts)
        assert all(part.abs().max() > 0 for part in parts.values())
        for name, part in parts.items():
            torch.testing.assert_close(getattr(halved, group)[name], part, rtol=1e-3, atol=1e-5)


def _runs_out_of_memory_once(module: torch.nn.Module, after: int) -> None:
    calls = []

    def fail(*_) -> None:
        calls.append(None)
        if len(calls) > after:
            hook.remove()
            raise torch.OutOfMemoryError("out of memory")

    hook = module.register_forward_hook(fail)


def test_the_position_gate_is_learned_on_what_keys_and_values_read(world, pack):
    """Behind the network's own layers; it draws at the superclass's words alone, and the text encoder is not asked."""
    prompts = pack.superclass_prompts.SuperclassPrompts.of(world.clip, "teddy_t", "teddy bear", [TEXT])
    private = world.private()
    read = private.superclass_prompts(world.model, prompts)
    encoded = read.encode([TEXT])
    plain = world.context(TEXT.format("teddy bear"))
    torch.testing.assert_close(encoded.encodings, plain, rtol=1e-4, atol=1e-4)
    assert set(encoded.marks.unique().tolist()) == {0.0, 1.0}
    pictures = [pack.ops.Picture(world.noise(8)[0])]
    arguments = (read, "teddy_t", pictures, (TEXT,), None, {"encoder": "e"})
    settings = pack.ops.TrainingSettings(steps=3, batch_size=2, gate_kind=pack.ops.GateKind.POSITION)
    with torch.inference_mode(False), torch.enable_grad():
        concept = pack.ops.train(pack.task.training_task(world.model, private, *arguments), settings).concept
    assert concept.gate.value == "position" and concept.base_family == world.family.name
    assert all(residual.abs().max() > 0 for residual in concept.value_residuals.values())
    model, clip = world.applied(concept, strength=20.0)
    superclass = world.draw(world.model, world.clip, TEXT.format("teddy bear"))
    assert (world.draw(model, clip, TEXT.format("teddy_t")) - superclass).abs().max() > 1e-4
    assert torch.equal(world.draw(model, clip, TEXT.format("teddy bear")), superclass)
