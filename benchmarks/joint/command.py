"""The command: does the work of the chosen parts, then writes their tables."""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import report
from pixelworld.evaluate import held_out_captions, rates
from pixelworld.joint.evaluate import FIRST_SEED, ceilings, rendered, share_right
from pixelworld.joint.world import GUIDANCE, WEIGHTS, the_joint_world
from pixelworld.joint.world import draw as draw_plain
from pixelworld.reader import read
from pixelworld.world import fast_bfloat16
from proof import studies, tables
from proof.reading import rows_of
from proof.recipes import BATCH_SIZE, STEPS
from proof.specs import BASE, BESIDE, UNNAMED, Drawing, Learning, Subject, of_all, result_key
from proof.tables import BESIDE_COLUMNS, GROUP_COLUMNS, Row, Samples
from proof.work import Store, in_processes, keep_learned, pictures_of

from .methods import draw, learn
from .ways import METHODS, RATE_GRID, drawing_of

PARTS = ("base", "tune", "alone", "company", "pairs", "harm")
TUNING_PROMPTS, HELD_OUT, KNOWN = 10, 160, 64
PAIR_COLUMNS = (*GROUP_COLUMNS, "leakage with the other not learned", "leakage from the other")


def fingerprint() -> str:
    """16 hex digits of the joint world's weights."""
    return hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()[:16]


def mixed_precision() -> torch.autocast:
    """As the first world's proof: products in bfloat16 where the processor has it.

    Nothing is kept: the copy of a parameter that autocast keeps until it ends would hide every step from the next one.
    """
    return torch.autocast("cpu", torch.bfloat16, enabled=fast_bfloat16(), cache_enabled=False)


def learned(learning: Learning, store: Store) -> Mapping[str, Tensor]:
    """What was learned, from the store or anew."""
    state = store.tensors("learned", result_key(learning))
    if state is None:
        started = time.process_time()
        with mixed_precision():
            state = learn(learning)
        keep_learned(learning, state, time.process_time() - started, store)
    return state


def made(drawing: Drawing, store: Store, guidance: float) -> None:
    """Draws, and keeps what the reader finds where ``proof.tables`` looks for it."""
    states = [learned(learning, store) for learning in drawing.learnings]
    with mixed_precision():
        pictures = draw(drawing, states, guidance)
    store.keep_tensors("pictures", result_key(drawing), {"pictures": pictures})
    store.keep_record("drawing", result_key(drawing), {"rows": rows_of(drawing, pictures)})


class JointProof:
    """One call of the command; each part returns its tables."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.seeds = options, options.seeds
        self.store = Store(options.out / f"{fingerprint()}-guidance-{options.guidance:g}")
        self.subjects = [Subject(index) for index in range(options.individuals)]
        self.tuned_on = [Subject(index, tuning=True) for index in range(options.tuning_individuals)]
        how = {"steps": options.steps, "batch_size": options.batch_size, "rate": options.rate, "seeds": self.seeds}
        self.drawings = {method: drawing_of(method, **how) for method in options.methods}

    def make(self, drawings: Iterable[Drawing]) -> None:
        """Whatever the store lacks; what several drawings need is learned first."""
        missing = [d for d in dict.fromkeys(drawings) if self.store.record("drawing", result_key(d)) is None]
        needed = dict.fromkeys(learning for drawing in missing for learning in drawing.learnings)
        unknown = [each for each in needed if self.store.tensors("learned", result_key(each)) is None]
        drawn = partial(made, guidance=self.options.guidance)
        for function, work, what in ((learned, unknown, "learnings"), (drawn, missing, "drawings")):
            in_processes([(function, each, self.store.folder) for each in work], self.options.processes, what)

    def alone(self, drawings: Mapping[str, Drawing], subjects: Sequence[Subject]) -> list[Row]:
        """Means over all trainings of a subject; with several, also the identity of each."""
        trained = {name: self.trainings(drawing) for name, drawing in drawings.items()}
        self.make(of_all([drawing_of(BASE, seeds=self.seeds), *chain(*trained.values())], subjects))
        samples, rows = Samples(self.store, subjects, self.seeds), []
        for name, trainings in trained.items():
            found = np.stack([samples.alone(training) for training in trainings])
            rows.append({"method": name} | tables.alone_row(found.mean(0)))
            if len(trainings) > 1:
                rows[-1]["identity of each training"] = ", ".join(f"{tables.identity(one):.3f}" for one in found)
        return rows

    def trainings(self, drawing: Drawing) -> list[Drawing]:
        return [drawing.learned(seed=seed) for seed in range(self.options.trainings)]

    def base_tables(self) -> dict[str, list[Row]]:
        """What the world draws of held-out captions, beside the reader's ceiling; then what no concept can beat."""
        captions = held_out_captions(HELD_OUT)
        seeds = list(range(FIRST_SEED, FIRST_SEED + HELD_OUT))
        how = {"guidance": self.options.guidance}
        with mixed_precision():
            pictures = draw_plain(the_joint_world(), [caption.text() for caption in captions], seeds, **how)
            reached = ceilings(the_joint_world(), KNOWN, **how)
        best = rendered(captions)
        top = rates(captions, read(best))
        rows = [
            {"attribute": name, "right": share, "of": count, "the reader's ceiling": top[name][0]}
            for name, (share, count) in rates(captions, read(pictures)).items()
        ]
        shares = [share_right(captions, each) for each in (pictures, best)]
        rows.append({"attribute": "all", "right": shares[0], "of": HELD_OUT, "the reader's ceiling": shares[1]})
        known = [{"asked for": name, "found": share, "of": count} for name, share, count in reached]
        return {"The world": rows, "Known individuals, and groups": known}

    def tune_tables(self) -> dict[str, list[Row]]:
        drawings = {
            f"{method}, rate {rate:g}": drawing_of(method, rate=rate, steps=self.options.steps, prompts=TUNING_PROMPTS)
            for method in self.options.methods
            for rate in RATE_GRID[method]
        }
        self.make(of_all([drawing_of(BASE)], self.tuned_on))
        return {"Learning rates": self.alone(drawings, self.tuned_on)}

    def alone_tables(self) -> dict[str, list[Row]]:
        return {"Alone in a picture": self.alone(self.drawings, self.subjects)}

    def company_tables(self) -> dict[str, list[Row]]:
        """One concept and a figure of another class, which no method was taught anything about."""
        drawings = {BASE: drawing_of(BASE, seeds=self.seeds), **self.drawings}
        self.make(replace(each, scene=BESIDE) for each in of_all(drawings.values(), self.subjects))
        samples = Samples(self.store, self.subjects, self.seeds)
        return {
            "Beside a figure of another class": [
                {"method": name} | tables.means(BESIDE_COLUMNS, samples.beside(each)) for name, each in drawings.items()
            ]
        }

    def pairs_tables(self) -> dict[str, list[Row]]:
        groups, count = studies.neighbours(self.subjects), self.options.group_prompts
        rows = []
        for name, drawing in {BASE: drawing_of(BASE), **self.drawings}.items():
            drawings = tables.grouped(drawing, groups, count, positions=True)
            self.make([*drawings, *tables.control_drawings(drawings)])
            samples, control = tables.group_samples(drawings, self.store), tables.control_samples(drawings, self.store)
            both = np.column_stack([samples, control, samples[:, -1] - control])
            rows.append({"method": name, "pairs": len(groups)} | tables.means(PAIR_COLUMNS, both))
        return {"Two concepts in one picture, positions named": rows}

    def harm_tables(self) -> dict[str, list[Row]]:
        """Pixel differences, 0 to 1, to four prompts without the concept, one of them its class."""
        asked = {"scene": UNNAMED, "prompts": 4, "seeds": 1}
        base = replace(drawing_of(BASE), **asked)
        drawings = {name: replace(drawing, **asked) for name, drawing in self.drawings.items()}
        self.make(of_all([base, *drawings.values()], self.subjects))

        def pictures(drawing: Drawing) -> np.ndarray:
            return np.stack([pictures_of(drawing.of(subject), self.store).numpy() for subject in self.subjects])

        moved = {name: np.abs(pictures(drawing) - pictures(base)) for name, drawing in drawings.items()}
        rows = [
            {"method": n, "largest pixel difference": float(d.max()), "mean pixel difference": float(d.mean())}
            for n, d in moved.items()
        ]
        return {"Prompts without the concept": rows}


def main(description: str, arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=[part for part in PARTS if part != "tune"])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--individuals", type=int, default=8, help="reported individuals")
    parser.add_argument("--tuning-individuals", type=int, default=2, help="individuals that settings are chosen on")
    parser.add_argument("--seeds", type=int, default=1, help="pictures of each prompt")
    parser.add_argument("--trainings", type=int, default=1, help="of each subject alone, each with a seed of its own")
    parser.add_argument("--steps", type=int, default=STEPS, help="of learning")
    parser.add_argument("--batch-size", type=int, default=BATCH_SIZE, help="pictures of a step")
    parser.add_argument("--rate", type=float, help="of every method; its own if not given")
    parser.add_argument("--group-prompts", type=int, default=8, help="pictures of each pair")
    parser.add_argument("--guidance", type=float, default=GUIDANCE, help="of all pictures")
    parser.add_argument("--processes", type=int, default=2, help="one core each")
    parser.add_argument("--out", type=Path, default=Path("bench_out/joint"), help="for all results")
    parser.add_argument("--name", default="joint", help="of the tables, NAME_PART.json")
    report.add_record_option(parser)
    options = parser.parse_args(arguments)
    proof = JointProof(options)
    for part in (part for part in PARTS if part in options.part):
        found = getattr(proof, f"{part}_tables")()
        report.publish(f"{options.name}_{part}", found, options.out, options.record, world_weights=fingerprint())
