"""Learning a subject in the joint world, and drawing with what was learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from perfusion_ops import Encoded, FlowSchedule, Gate, GateKind, Picture, TrainingTask, train
from perfusion_ops.edit.equations import position_gates
from perfusion_ops.edit.injection import InjectedEdit
from pixelworld.captions import Caption, sample_scene
from pixelworld.concepts import PLACEHOLDER, TEMPLATES, ConceptEncoder
from pixelworld.joint.transformer import WIDTH, velocity
from pixelworld.joint.world import GUIDANCE, sample, shifted, the_joint_world
from pixelworld.scene import render, training_pictures
from pixelworld.train import SHORT
from pixelworld.world import as_batch, latents_from_pictures, pictures_from_latents
from proof.adapters import adapted, moved_weights, new_pairs, restored
from proof.baselines import LORA_RANK, PRIOR_PICTURES, PRIOR_SHARE, encode_word, optimise, word_group
from proof.methods import Taught, encode, group_of, learned_words, spelled, taught_of
from proof.scenes import captions_of, noise_seed, texts_of
from proof.specs import BASE, LORA, UNNAMED, Drawing, Learning

from .values import ValueEdit, marks_of
from .ways import WAYS, Way

SIGMAS = shifted(torch.arange(1, 1001) / 1000)


def task_of(learning: Learning) -> TrainingTask:
    """The subject's pictures under rectified flow, sigma even in 0..1 before the model's shift."""
    world, individual = the_joint_world(), learning.subject.individual()
    shots = training_pictures(individual, learning.pictures, learning.subject.index)
    latents = latents_from_pictures(as_batch([shot.pixels for shot in shots]))
    masks = [torch.from_numpy(shot.mask) for shot in shots]
    return TrainingTask(
        word=PLACEHOLDER,
        superclass=individual.class_word,
        base_family="zimage",
        pictures=[Picture(latent, mask) for latent, mask in zip(latents, masks, strict=True)],
        encoder=ConceptEncoder(world.text_encoder, individual.class_word),
        predict=lambda noisy, steps, encodings: velocity(world.net, noisy, SIGMAS[steps], encodings[:, :SHORT]),
        projections={"layers": (None, nn.Linear(1, WIDTH))},
        schedule=FlowSchedule(SIGMAS),
        templates=TEMPLATES,
    )


def learn(learning: Learning) -> dict[str, Tensor]:
    """What the method learns, as named tensors; nothing for the base model."""
    if learning.method == BASE:
        return {}
    if learning.method in WAYS:
        return learn_values(learning)
    return learn_pairs(learning) if learning.method == LORA else learn_dreambooth(learning)


@dataclass(frozen=True)
class Prompts:
    """Prompts of the superclass as this world reads them (perfusion_ops.training.task.TextEncoder)."""

    superclass: str
    way: Way

    def encode(self, templates: Sequence[str], _embeddings: None) -> Encoded:
        world, texts = the_joint_world(), [template.format(self.superclass) for template in templates]
        marks = marks_of(world.text_encoder, texts, self.superclass, SHORT, self.way)
        return Encoded(world.encode(texts), marks.argmax(-1), marks=marks)


class Values:
    """How gates and value residuals take effect in this world (perfusion_ops.training.task.Injection)."""

    def __init__(self, way: Way) -> None:
        self.way, self.injected = way, InjectedEdit()
        self.value_widths = {str(layer): way.terms * WIDTH for layer in way.layers}

    @contextmanager
    def inject(self) -> Iterator[InjectedEdit]:
        yield self.injected
        self.injected.clear()

    def predict(self, noisy: Tensor, steps: Tensor, encodings: Tensor) -> Tensor:
        """The world's velocity under the injected edit."""
        residuals = {int(layer): r.view(-1, WIDTH) for layer, r in self.injected.value_residuals.items()}
        edit = ValueEdit.of(self.injected.context.gates, SIGMAS[steps], residuals, self.way, self.injected.observer)
        return velocity(the_joint_world().net, noisy, SIGMAS[steps], encodings, edit.options())


def learn_values(learning: Learning) -> dict[str, Tensor]:
    """A residual a layer, or two, by the pack's own training with a position gate and a relative rate."""
    way, task = WAYS[learning.method], task_of(learning)
    values = Values(way)
    task = replace(task, encoder=Prompts(task.superclass, way), predict=values.predict, injection=values)
    settings = replace(learning.settings(), gate_kind=GateKind.POSITION, relative_rates=True)
    residuals = train(task, settings).concept.value_residuals
    return {f"value_residuals/{layer}": residual.view(-1, WIDTH) for layer, residual in residuals.items()}


def attention_modules() -> dict[str, nn.Module]:
    """What the LoRA adapts: queries, keys and values in one matrix, and the output, of all six joint layers."""
    layers = enumerate(the_joint_world().net.layers)
    return {f"{n}.{part}": getattr(layer.attention, part) for n, layer in layers for part in ("qkv", "out")}


def learn_pairs(learning: Learning) -> dict[str, Tensor]:
    """The word, and a LoRA of rank 8 on attention."""
    task = task_of(learning)
    group, modules = word_group(learning, task), attention_modules()
    pairs = new_pairs(modules, LORA_RANK[LORA], learning.seed)
    parameters = [tensor for pair in pairs.values() for tensor in pair]
    with adapted(modules, pairs):
        groups = [group, {"params": parameters, "lr": learning.rate}]
        optimise(learning, task, groups, encode_word(task, group["params"][0]))
    sides = {f"down/{n}": pair[0].detach() for n, pair in pairs.items()}
    sides |= {f"up/{n}": pair[1].detach() for n, pair in pairs.items()}
    return {"word": group["params"][0].detach()} | sides


def learn_dreambooth(learning: Learning) -> dict[str, Tensor]:
    """The word and all weights, with prior preservation on pictures of the class (Ruiz et al. 2023)."""
    net, task = the_joint_world().net, task_of(learning)
    group = word_group(learning, task)
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    with restored(net):
        net.requires_grad_(True)
        groups = [group, {"params": list(net.parameters()), "lr": learning.rate}]
        optimise(learning, task, groups, encode_word(task, group["params"][0]), prior_loss(learning, task))
        changes = {f"change/{n}": p.detach() - before[n] for n, p in net.named_parameters()}
        net.requires_grad_(False)
    return {"word": group["params"][0].detach()} | changes


def prior_loss(learning: Learning, task: TrainingTask):
    """The plain velocity loss on rendered pictures of other individuals of the superclass, under its word."""
    rng, caption = np.random.RandomState(learning.seed), Caption(task.superclass)
    latents = latents_from_pictures(as_batch([render(sample_scene(caption, rng)) for _ in range(PRIOR_PICTURES)]))
    encoding, count = the_joint_world().encode([caption.text()]), int(PRIOR_SHARE * learning.batch_size)

    def loss(generator: torch.Generator) -> Tensor:
        chosen, steps = (torch.randint(high, (count,), generator=generator) for high in (PRIOR_PICTURES, len(SIGMAS)))
        noise = torch.randn(count, *latents.shape[1:], generator=generator)
        noisy = task.schedule.add_noise(latents[chosen], noise, steps)
        return (task.predict(noisy, steps, encoding.expand(count, -1, -1)) - (noise - latents[chosen])).square().mean()

    return loss


def draw(drawing: Drawing, states: Sequence[Mapping[str, Tensor]], guidance: float = GUIDANCE) -> Tensor:
    """Pictures (prompts * seeds, 16, 16, 3), uint8, with all that was learned in force together."""
    captions, world, method = captions_of(drawing), the_joint_world(), drawing.method
    wanted = [(index, seed) for seed in range(drawing.seeds) for index in range(len(captions))]
    seeds = [noise_seed(drawing.scene, *entry) for entry in wanted]
    taught = taught_of(drawing, states)
    with ExitStack() as stack:
        if method == BASE or method in WAYS:
            texts = [captions[index].text() for index, _ in wanted]
            denoiser = None if method == BASE else edited(drawing, taught, texts)
            latents = sample(world, world.encode(texts), seeds, guidance=guidance, denoiser=denoiser)
        else:
            texts = texts_of(drawing)
            encodings, _ = encode(spelled(taught, [texts[n] for n, _ in wanted]), learned_words(taught, drawing.dial))
            for state in (each.state for each in taught):
                change = group_of(state, "change")
                downs, ups = group_of(state, "down"), group_of(state, "up")
                if change:
                    stack.enter_context(moved_weights(world.net, change))
                stack.enter_context(adapted(attention_modules(), {n: (downs[n], ups[n]) for n in downs}))
            latents = sample(world, encodings[:, :SHORT], seeds, guidance=guidance)
    return (255 * pictures_from_latents(latents)).round().to(torch.uint8)


def edited(drawing: Drawing, taught: Sequence[Taught], texts: Sequence[str]):
    """The world's velocity with every concept's residuals at its superclass's tokens; empty prompts follow."""
    way, world = WAYS[drawing.method], the_joint_world()
    marks = torch.zeros(2 * len(texts), SHORT, len(taught))
    if drawing.scene != UNNAMED:
        for number, each in enumerate(taught):
            marks[: len(texts), :, number] = marks_of(world.text_encoder, texts, each.class_word, SHORT, way)
    learned = [group_of(each.state, "value_residuals") for each in taught]
    gates = position_gates(marks, [Gate()] * len(taught))
    # Two terms: first every concept's constant residual, then every concept's second one, as the gates have them.
    residuals = {layer: torch.stack([r[str(layer)] for r in learned], 1).flatten(0, 1) for layer in way.layers}

    def denoiser(x: Tensor, sigmas: Tensor, encodings: Tensor) -> Tensor:
        edit = ValueEdit.of(gates, sigmas, residuals, way)
        return velocity(world.net, x, sigmas, encodings, edit.options())

    return denoiser
