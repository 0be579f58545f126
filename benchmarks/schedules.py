"""Whether strength or bias that changes during sampling does better than the best constant, in the pixel world.

    python dev.py bench schedules [--individuals 4] [--tuning-individuals 2] [--out bench_out/schedules] [--record]

The concept stands beside a figure that the prompt names by its class alone. Score: identity times how far the other
figure is left alone. The best constant and the best schedule are chosen on the tuning individuals.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import report
from perfusion_ops import EditedContext, EditTerm, JointEdit, inject
from perfusion_ops.edit.schedule import Level, Schedule
from pixelworld.concepts import encode_prompts
from pixelworld.once import predict, the_world
from pixelworld.sampling import sample
from pixelworld.unet import value_projection_names
from pixelworld.world import pictures_from_latents
from proof.drawing import GUIDANCE, STEPS
from proof.methods import Taught, concept_of
from proof.reading import rows_of
from proof.recipes import OPERATING_POINT, drawing_of
from proof.scenes import noise_seed, texts_of
from proof.specs import BASE, BESIDE, OURS, Drawing, Subject, result_key, weights_fingerprint
from proof.statistics import bootstrap, mean_interval
from proof.tables import IDENTITY, TAKEN, beside_points
from proof.work import Store, drawn, learned

LAST_TIMESTEP = 999


def between(start: tuple[float, float, float], end: tuple[float, float, float], way: str = "linear") -> Schedule:
    """From (share of sampling, strength, bias) to another, as Perfusion Schedule makes it of its inputs."""
    usual = OPERATING_POINT.bias
    points = (Level(share, strength, round(bias - usual, 9)) for share, strength, bias in (start, end))
    return Schedule.between(*points, way)


CONSTANTS = {f"bias {bias:g}": between((0, 1, bias), (1, 1, bias)) for bias in (0.3, 0.45, 0.6, 0.75, 0.9)}
CHANGING = {
    "bias 0.9 to 0.3": between((0, 1, 0.9), (1, 1, 0.3)),
    "bias 0.9, from 50 % on 0.3": between((0, 1, 0.9), (0.5, 1, 0.3), "step"),
    "bias 0.3 to 0.9": between((0, 1, 0.3), (1, 1, 0.9)),
    "strength 0, from 20 % on 1": between((0, 0, 0.6), (0.2, 1, 0.6), "step"),
    "strength 0, from 40 % on 1": between((0, 0, 0.6), (0.4, 1, 0.6), "step"),
    "strength 0 to 1, bias 0.3": between((0, 0, 0.3), (0.5, 1, 0.3)),
    "strength 1, from 80 % on 0": between((0, 1, 0.6), (0.8, 0, 0.6), "step"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--individuals", type=int, default=4, help="reported individuals")
    parser.add_argument("--tuning-individuals", type=int, default=2, help="individuals to choose on")
    parser.add_argument("--out", type=Path, default=Path("bench_out/schedules"))
    report.add_record_option(parser)
    options = parser.parse_args()
    store, everything = Store(options.out), CONSTANTS | CHANGING
    tuning, reported = (
        np.stack([measured(Subject(index, tuning=chosen), everything, store) for index in range(count)])
        for count, chosen in ((options.tuning_individuals, True), (options.individuals, False))
    )
    found = chosen_and_compared(list(everything), len(CONSTANTS), tuning, reported)
    report.publish("schedules", found, options.out, options.record, world_weights=weights_fingerprint())


def measured(subject: Subject, schedules: Mapping[str, Schedule], store: Store) -> np.ndarray:
    """BESIDE_COLUMNS of a subject (1 + schedules, columns), means over its pictures; the base model comes first."""
    base, ours = (replace(drawing_of(method, subject), scene=BESIDE) for method in (BASE, OURS))
    rows = [drawn(base, store), *(drawn_by(schedule, ours, store) for schedule in schedules.values())]
    return np.array([np.nanmean(np.array(each, float), axis=0) for each in rows])


def drawn_by(schedule: Schedule, drawing: Drawing, store: Store) -> list:
    """What the reader finds in each picture that is drawn by a schedule, from the store or anew."""
    key = f"{result_key(drawing)}-{result_key(schedule)}"
    record = store.record("scheduled", key)
    if record is None:
        taught = Taught(drawing.learnings[0], learned(drawing.learnings[0], store))
        record = {"spec": asdict(schedule), "rows": rows_of(drawing, draw(schedule, drawing, taught))}
        store.keep_record("scheduled", key, record)
    return record["rows"]


@torch.no_grad()
def draw(schedule: Schedule, drawing: Drawing, taught: Taught) -> Tensor:
    """Pictures (prompts, 16, 16, 3), uint8."""
    texts = texts_of(drawing)
    term = EditTerm(concept_of(taught), drawing.dial.gate(), drawing.dial.strength)
    seeds = [noise_seed(drawing.scene, prompt, 0) for prompt in range(len(texts))]
    with scheduled(schedule, term, texts) as (encodings, denoiser):
        latents = sample(the_world(), encodings, seeds, steps=STEPS, guidance=GUIDANCE, denoiser=denoiser)
    return (255 * pictures_from_latents(latents)).round().to(torch.uint8)


@contextmanager
def scheduled(schedule: Schedule, term: EditTerm, texts: Sequence[str]) -> Iterator[tuple[Tensor, Callable]]:
    """The encodings of ``texts``, and a denoiser that edits them, then as many empty prompts, by the time's level."""
    contexts = _Contexts(JointEdit.of([term]), texts)
    with inject(value_projection_names(the_world().unet)) as injected:

        def denoiser(noisy: Tensor, timesteps: Tensor, encodings: Tensor) -> Tensor:
            level = schedule.at(1 - float(timesteps[0]) / LAST_TIMESTEP)
            residuals = contexts.edit.value_residuals
            injected.use(contexts.at(level), {name: level.strength * each for name, each in residuals.items()})
            return predict(noisy, timesteps, encodings)

        yield contexts.prompts.encodings[: len(texts)], denoiser


class _Contexts:
    """The edited contexts of some texts, and then as many empty prompts: one for each bias."""

    def __init__(self, edit: JointEdit, texts: Sequence[str]) -> None:
        concepts = [term.concept for term in edit.terms]
        self.edit, self.prompts = edit, encode_prompts(the_world().text_encoder, [*texts, ""], concepts)
        self.rows = torch.tensor([*range(len(texts)), *[len(texts)] * len(texts)])
        self.made: dict[float, EditedContext] = {}
        superclass = self.prompts.superclass_encodings
        gates = superclass.new_zeros(*superclass.shape[:2], len(concepts))
        self.resting = EditedContext(superclass, superclass, gates).rows(self.rows)

    def at(self, level: Level) -> EditedContext:
        """As in ComfyUI: at strength 0 the superclass prompt."""
        shift, prompts = level.bias_shift, self.prompts
        if level.strength == 0:
            return self.resting
        if shift not in self.made:
            parts = prompts.encodings, prompts.superclass_encodings, prompts.present, prompts.keep, prompts.marks
            self.made[shift] = self.edit.shifted([shift]).contexts(*parts).rows(self.rows)
        return self.made[shift]


def chosen_and_compared(names: list[str], constants: int, tuning: np.ndarray, reported: np.ndarray) -> dict:
    """Tables of samples (individuals, 1 + schedules, columns), of which the first ``constants`` schedules are such."""
    worth = scores(tuning)
    best = [int(np.argmax(worth[:constants])), constants + int(np.argmax(worth[constants:]))]
    rows = [
        {
            "schedule": name + (" (chosen)" if number in best else ""),
            "identity": str(bootstrap(reported, lambda some, n=number: float(beside_points(some)[n, 0]))),
            "the concept's traits on the other figure": str(mean_interval(reported[:, 1 + number, TAKEN])),
            "score, tuning": float(worth[number]),
            "score": str(bootstrap(reported, lambda some, n=number: float(scores(some)[n]))),
        }
        for number, name in enumerate(names)
    ]
    gap = bootstrap(reported, lambda some: float(scores(some)[best[1]] - scores(some)[best[0]]))
    verdict = {"chosen schedule": names[best[1]], "chosen constant": names[best[0]], "the first minus the second": gap}
    chance = {"identity": float(reported[:, 0, IDENTITY].mean()), "traits": float(reported[:, 0, TAKEN].mean())}
    return {
        "Every schedule": rows,
        "The best schedule minus the best constant": [{name: str(each) for name, each in verdict.items()}],
        "The base model": [chance],
    }


def scores(samples: np.ndarray) -> np.ndarray:
    """Identity times the other figure left alone (schedules,), each cut to 0 and 1."""
    return np.clip(beside_points(samples), 0, 1).prod(1)


if __name__ == "__main__":
    main()
