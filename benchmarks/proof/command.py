"""The command: does the work of the chosen parts, then writes their tables and figures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

import numpy as np

import report
from pixelworld.once import weights_path

from . import figures, masks, snapshots, studies, tables
from .recipes import METHODS, dials_of, drawing_of, learning_of
from .specs import BASE, BESIDE, FOUND, OURS, UNNAMED, Drawing, Subject, of_all, result_key, weights_fingerprint
from .tables import BESIDE_COLUMNS, GROUP_COLUMNS, Row, Samples
from .work import Store, do_all, pictures_of

PARTS = ("tune", "front", "signs", "open", "pairs", "files", "leakage", "companions", "harm", "snapshots", "masks")
COMPANY = ("2", "2, positions named", "3", "3, positions named")
Drawings, Groups = Mapping[str, Drawing], Sequence[Sequence[Subject]]


def parsed(arguments: Sequence[str] | None, description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=["front", "signs", "leakage", "companions", "harm"])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="beside base and ours")
    parser.add_argument("--individuals", type=int, default=8, help="reported individuals")
    parser.add_argument("--tuning-individuals", type=int, default=2, help="individuals that settings are chosen on")
    parser.add_argument("--seeds", type=int, default=1, help="pictures of each prompt")
    parser.add_argument("--group-prompts", type=int, default=8, help="pictures of each group of concepts")
    parser.add_argument("--processes", type=int, default=2, help="one core each")
    parser.add_argument("--out", type=Path, default=Path("bench_out/proof"), help="for all results, figures among them")
    parser.add_argument("--company", nargs="+", choices=COMPANY, default=COMPANY, help="concepts in one picture")
    parser.add_argument("--name", default="proof", help="of the tables, NAME_PART.json")
    report.add_record_option(parser)
    return parser.parse_args(arguments)


class Proof:
    """One call of the command; each part returns its tables."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.out, self.seeds, self.store = options, options.out, options.seeds, Store(options.out)
        self.subjects = [Subject(index) for index in range(options.individuals)]
        self.tuned_on = [Subject(index, tuning=True) for index in range(options.tuning_individuals)]
        methods = [method for method in METHODS if method in {BASE, OURS, *options.methods}]
        self.recommended = {method: drawing_of(method, seeds=self.seeds) for method in methods}
        self.dialled = {method: dials_of(drawing) for method, drawing in self.recommended.items()}

    def make(self, drawings: Iterable[Drawing]) -> None:
        do_all([*drawings], self.store, self.options.processes)

    def samples(self, drawings: Iterable[Drawing], subjects: Sequence[Subject], scene: str | None = None) -> Samples:
        """What the drawings give, alone or beside others, after what is missing has been made."""
        wanted = of_all([self.recommended[BASE], *drawings], subjects)
        self.make(replace(drawing, scene=scene or drawing.scene) for drawing in wanted)
        return Samples(self.store, subjects, self.seeds)

    def alone(self, heading: str, drawings: Drawings, subjects: Sequence[Subject]) -> list[Row]:
        samples = self.samples(drawings.values(), subjects)
        return [{heading: name} | tables.alone_row(samples.alone(each)) for name, each in drawings.items()]

    def tune(self) -> dict[str, list[Row]]:
        variants = studies.rate_study(self.options.methods)
        learned = {name: drawing for name, drawing in variants.items() if drawing.method != BASE}
        return {
            "Learning rates": self.alone("variant", variants, self.tuned_on),
            "The same, two in one picture": self.in_groups(learned, studies.neighbours(self.tuned_on)),
        }

    def open(self) -> dict[str, list[Row]]:
        asked = studies.open_questions().items()
        rows = [
            {"question": question} | row
            for question, variants in asked
            for row in self.alone("answer tried", variants, self.tuned_on)
        ]
        return {"What the paper leaves open": rows}

    def files(self) -> dict[str, list[Row]]:
        """What a smaller file costs, in identity."""
        variants = studies.file_precisions(self.seeds)
        rows = self.alone("file", variants, self.subjects)
        fp32, *_ = found = [Samples(self.store, self.subjects, self.seeds).alone(each) for each in variants.values()]
        for row, samples in zip(rows, found, strict=True):
            row["identity minus fp32's"] = tables.means(tables.ALONE_COLUMNS, samples - fp32)["identity"]
        return {"Identity by a concept file's precision": rows}

    def front(self) -> dict[str, list[Row]]:
        samples = self.samples((each for dials in self.dialled.values() for each in dials.values()), self.subjects)
        stacked = {method: samples.stacked(dials.values(), "alone") for method, dials in self.dialled.items()}
        areas = tables.area_rows(stacked, tables.alone_points)
        dials = [
            {"method": method, "at": label} | tables.alone_row(stacked[method][:, number])
            for method, labels in self.dialled.items()
            for number, label in enumerate(labels)
        ]
        shown = of_all([self.recommended[OURS]], self.subjects)
        title = f"{len(shown)} individuals, as learned"
        figures.save_sheet_of(shown, 7, title, self.store, self.out / "proof_individuals.png")
        return {"Methods": [self.method_row(stacked[area["method"]], area) for area in areas], "Dials": dials}

    def method_row(self, samples: np.ndarray, area: Row) -> Row:
        """What a method costs, and its best point by identity times alignment."""
        best = int(np.argmax(tables.alone_points(samples).clip(0, 1).prod(1)))
        learnings = [learning_of(area["method"], subject) for subject in self.subjects]
        records = [self.store.record("learning", result_key(learning)) for learning in learnings]
        size, seconds = (float(np.mean([each[name] for each in records])) for name in ("bytes_fp16", "core_seconds"))
        costs = {"method": area["method"], "KB (fp16)": round(size / 1000, 1), "core-s to learn": round(seconds, 1)}
        point = {"best point": [*self.dialled[area["method"]]][best]} | tables.alone_row(samples[:, best])
        copied = samples[:, best, tables.ALONE_COLUMNS.index("training place drawn")].mean()
        return costs | area | point | {"training place drawn": f"{copied:.3f}"}

    def signs(self) -> dict[str, list[Row]]:
        signs = studies.signs(self.seeds)
        fronts = [[*dials_of(side).values()] for side in (signs[0].better, signs[0].other)]
        sides = [side for sign in signs for side in (sign.better, sign.other)]
        samples = self.samples([*sides, *fronts[0], *fronts[1]], self.subjects)
        return {"The paper's signs": [tables.sign_row(sign, samples, fronts) for sign in signs]}

    def leakage(self) -> dict[str, list[Row]]:
        variants = self.recommended | {"ours, global locking": self.recommended[OURS].turned(locking="global_gated")}
        pairs, threes = [*combinations(self.subjects, 2)], studies.circles(self.subjects)
        asked = [*product(filter(None, (pairs, threes)), (False, True))]
        asked = [each for each in asked if size_of(*each) in self.options.company]
        rows = [row for groups, positions in asked for row in self.in_groups(variants, groups, positions)]
        gaps = [
            {"concepts": size_of(groups, positions), "ours minus": method}
            | tables.gaps(GROUP_COLUMNS, *(self.group_samples(each, groups, positions) for each in pair))
            for groups, positions in asked
            for method, pair in self.against_ours().items()
        ]
        if "3, positions named" in self.options.company:
            shown = tables.grouped(self.recommended[OURS], threes[::4], self.options.group_prompts, True)
            title = "Three concepts, learned apart, in one picture"
            figures.save_sheet_of(shown, 6, title, self.store, self.out / "proof_threes.png")
        return {"Concepts in one picture": rows, "Ours minus the others": gaps}

    def against_ours(self) -> dict[str, tuple[Drawing, Drawing]]:
        ours = self.recommended[OURS]
        return {method: (ours, other) for method, other in self.recommended.items() if method not in (BASE, OURS)}

    def group_samples(self, drawing: Drawing, groups: Groups, positions: bool) -> np.ndarray:
        drawings = tables.grouped(drawing, groups, self.options.group_prompts, positions)
        return tables.group_samples(drawings, self.store)

    def in_groups(self, variants: Drawings, groups: Groups, positions: bool = False) -> list[Row]:
        """One row a variant, the subjects of each group drawn together."""
        count = self.options.group_prompts
        self.make(each for v in variants.values() for each in tables.grouped(v, groups, count, positions))
        return [
            {"method": name, "concepts": size_of(groups, positions), "groups": len(groups)}
            | tables.means(GROUP_COLUMNS, self.group_samples(drawing, groups, positions))
            for name, drawing in variants.items()
            if groups
        ]

    def pairs(self) -> dict[str, list[Row]]:
        """What the dials do in company: every pair of tuning individuals, and each beside figures of other classes."""
        dials = {name: replace(drawing, seeds=self.seeds) for name, drawing in studies.company_dials().items()}
        samples = self.samples(dials.values(), self.tuned_on, BESIDE)
        return {
            "Dials with two in one picture": self.in_groups(dials, [*combinations(self.tuned_on, 2)]),
            "Dials beside a figure of another class": self.beside(dials, samples),
        }

    def beside(self, drawings: Drawings, samples: Samples) -> list[Row]:
        return [{"method": n} | tables.means(BESIDE_COLUMNS, samples.beside(each)) for n, each in drawings.items()]

    def companions(self) -> dict[str, list[Row]]:
        """One concept and a figure of another class, which no method was taught anything about."""
        sides = {sign.claim: (sign.better, sign.other) for sign in studies.signs(self.seeds)}
        ours = self.recommended[OURS]
        sides["the leak-free gate is better than the paper's"] = ours.turned(leak_free=True), ours
        labelled = {
            m if m == BASE else f"{m}, {label}": each
            for m, dials in self.dialled.items()
            for label, each in dials.items()
        }
        everything = [*labelled.values(), *(side for pair in sides.values() for side in pair)]
        samples = self.samples(everything, self.subjects, BESIDE)
        fronts = {m: samples.stacked(dials.values(), BESIDE) for m, dials in self.dialled.items() if m != BASE}
        shown = {method: replace(drawing, scene=BESIDE) for method, drawing in self.recommended.items()}
        figures.save_beside_sheet(shown, self.subjects[0], self.store, self.out / "proof_companions_sheet.png")

        def gaps(heading: str, pairs: Mapping[str, tuple[Drawing, Drawing]]) -> list[Row]:
            return [{heading: n} | tables.gaps(BESIDE_COLUMNS, *map(samples.beside, pair)) for n, pair in pairs.items()]

        return {
            "Beside a figure of another class": self.beside(labelled, samples),
            "Area under the front": tables.area_rows(fronts, tables.beside_points),
            "Ours minus the others": gaps("ours minus", self.against_ours()),
            "Signs and gate": gaps("sign", sides),
        }

    def snapshots(self) -> dict[str, list[Row]]:
        """Whether the last step of a training is its best one."""
        snapshots.learn_all(self.subjects, self.store, self.options.processes)
        drawings = snapshots.drawings_at(self.seeds)
        by_step = self.alone("step", drawings, self.subjects)
        samples = [Samples(self.store, self.subjects, self.seeds, half) for half in snapshots.HALVES]
        halves = [snapshots.products(drawings, each) for each in samples]
        return {
            "By step": by_step,
            "Which step to take": snapshots.choice_rows(halves),
            "Each subject's best step": snapshots.best_steps(halves),
        }

    def masks(self) -> dict[str, list[Row]]:
        """Perfusion Subject Mask against the true masks, and what each does to training."""
        ours = self.recommended[OURS]
        drawings = {
            "the true one": ours,
            "Perfusion Subject Mask": ours.learned(masked=FOUND),
            "none": ours.learned(masked=False),
        }
        reported = [Subject(index) for index in range(8)]
        trained = self.alone("mask", drawings, self.subjects)
        samples = Samples(self.store, self.subjects, self.seeds)
        found = samples.alone(drawings["Perfusion Subject Mask"])
        others = {name: samples.alone(drawings[name]) for name in ("the true one", "none")}
        quality = masks.quality_row(reported, masks.WAY_UP, masks.NOISE_LEVELS)
        return {
            "Choices, on the tuning subjects": masks.choice_rows(self.tuned_on),
            "The mask as the node makes it, eight subjects": [quality],
            "What the mask does to training": trained,
            "Perfusion Subject Mask minus": [
                {"mask": name} | tables.gaps(tables.ALONE_COLUMNS, found, other) for name, other in others.items()
            ],
        }

    def harm(self) -> dict[str, list[Row]]:
        """Pixel differences, 0 to 1, to four prompts without the concept, one of them its class."""
        drawings = {m: replace(d, scene=UNNAMED, prompts=4, seeds=1) for m, d in self.recommended.items()}
        self.make(of_all(drawings.values(), self.subjects))
        base, *others = (
            np.stack([pictures_of(drawing.of(subject), self.store) for subject in self.subjects])
            for drawing in drawings.values()
        )
        moved = [np.abs(pictures - base) for pictures in others]
        rows = [
            {"method": m, "largest pixel difference": float(d.max()), "mean pixel difference": float(d.mean())}
            for m, d in zip([*drawings][1:], moved, strict=True)
        ]
        return {"Prompts without the concept": rows}


def size_of(groups: Groups, positions: bool) -> str:
    return f"{len(groups[0])}{', positions named' if positions else ''}"


def main(description: str, arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments, description)
    if not weights_path().exists():
        sys.exit(f"The pixel world has no weights at {weights_path().name}; train it with python -m pixelworld.train.")
    proof = Proof(options)
    for part in (part for part in PARTS if part in options.part):
        found = getattr(proof, part)()
        name, weights = f"{options.name}_{part}", weights_fingerprint()
        report.publish(name, found, options.out, options.record, world_weights=weights)
