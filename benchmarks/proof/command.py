"""The command: does the work of the chosen parts, then writes their tables and figures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path

from perfusion_ops.files.atomic import write_atomically
from report import markdown_table, write_report

from . import tables
from .companion_figures import draw_companion_figures
from .companion_tables import companion_areas, companion_gaps, companion_rows, front_samples
from .companions import companions_work
from .company import circles, company_missing, company_work, neighbours
from .company_figures import IN_COMPANY_FIGURES, draw_company_figures
from .figures import draw_figures
from .measures import Measures, base_drawing
from .recipes import METHODS, dials_of, drawing_of
from .specs import BASE, OURS, Dial, Subject, weights_path
from .store import Store
from .studies import TEMPLATE, Variant, company_dials, file_precisions, front, of_all, open_questions, rate_study, signs
from .work import do_all

PARTS = ("tune", "front", "signs", "open", "pairs", "files", "leakage", "companions", "harm", "figures")


def parsed(arguments: Sequence[str] | None, description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--part", nargs="+", choices=PARTS, default=["front", "signs", "leakage", "companions", "harm", "figures"]
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--questions", nargs="+", choices=list(open_questions()), default=list(open_questions()))
    parser.add_argument("--letters", nargs="+", choices=list("abcdefg"), default=list("abcdefg"), help="of the signs")
    parser.add_argument("--individuals", type=int, default=8, help="reported individuals")
    parser.add_argument("--tuning-individuals", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=1, help="sampling seeds along the dials")
    parser.add_argument("--operating-seeds", type=int, default=2, help="seeds of base, ours as recommended, signs")
    parser.add_argument("--company-prompts", type=int, default=12, help="pictures of each group of concepts")
    parser.add_argument("--processes", type=int, default=2, help="one core each")
    parser.add_argument("--out", type=Path, default=Path("bench_out/proof"))
    parser.add_argument("--figures", type=Path, default=Path("bench_out/proof/figures"))
    parser.add_argument("--tables-only", action="store_true", help="do no work; report what is in the store")
    return parser.parse_args(arguments)


class Proof:
    """One call of the command."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.store = options, Store(options.out)
        self.subjects = [Subject(index) for index in range(options.individuals)]
        self.tuning = [Subject(index, tuning=True) for index in range(options.tuning_individuals)]
        self.measures = Measures(self.store, self.subjects, options.operating_seeds)
        self.tuning_measures = Measures(self.store, self.tuning, options.seeds)
        methods = [method for method in METHODS if method in {BASE, *options.methods}]
        self.methods = methods
        self.fronts = {m: tables.front_drawings(m, options.seeds, options.operating_seeds) for m in methods}
        self.written: dict[str, list[tables.Row]] = {}

    def work(self, variants: Sequence[Variant], subjects: Sequence[Subject], base_seeds: int) -> None:
        if self.options.tables_only:
            return
        drawings = [base_drawing(subject, base_seeds) for subject in subjects]
        do_all(drawings + of_all(variants, subjects), self.store, self.options.processes, progress)

    def table(self, title: str, rows: list[tables.Row]) -> None:
        if rows:
            self.written[title] = rows
            print(f"\n### {title}\n\n{markdown_table(rows)}", flush=True)

    def tune(self) -> None:
        variants = rate_study(self.options.methods)
        self.work(variants, self.tuning, self.options.seeds)
        self.table("Learning rates (tuning individuals)", tables.variant_rows(self.tuning_measures, variants))
        learned = [variant for variant in variants if variant.drawing.learning.method != BASE]
        self.company("Learning rates (two tuning individuals in one picture)", learned, neighbours(self.tuning, 2))

    def front(self) -> None:
        self.work(front(self.methods, self.options.seeds, self.options.operating_seeds), self.subjects,
                  self.options.operating_seeds)  # fmt: skip
        self.table("Methods", tables.front_rows(self.measures, self.fronts))
        for method, drawings in self.fronts.items():
            points = [Variant(tables.dial_label(method, drawing), drawing) for drawing in drawings]
            self.table(f"Dial of {method}", tables.variant_rows(self.measures, points))
        if OURS in self.fronts:
            self.table("Area under the front", tables.area_gaps(self.measures, self.fronts))

    def signs(self) -> None:
        chosen = [sign for sign in signs(self.options.operating_seeds) if sign.letter in self.options.letters]
        claims = [sign for sign in chosen if sign.methods <= set(self.methods)]
        sides = [
            Variant(f"({sign.letter}) {side}", drawing)
            for sign in claims
            for side, drawing in (("said to be better", sign.better), ("other", sign.other))
        ]
        self.work(sides, self.subjects, self.options.operating_seeds)
        self.table("The seven signs", tables.sign_rows(self.measures, claims, self.fronts))
        self.table("Both sides of the signs", tables.variant_rows(self.measures, sides))

    def open(self) -> None:
        for question in self.options.questions:
            variants = open_questions()[question]
            self.work(variants, self.tuning, self.options.seeds)
            self.table(f"Open: {question} (tuning individuals)", tables.variant_rows(self.tuning_measures, variants))

    def files(self) -> None:
        """What a smaller file costs, in identity."""
        variants = file_precisions(self.options.operating_seeds)
        self.work(variants, self.subjects, self.options.operating_seeds)
        if not all(self.measures.has(variant.drawing) for variant in variants):
            return
        rows = tables.variant_rows(self.measures, variants)
        gaps = [self.measures.difference(v.drawing, variants[0].drawing, "identity") for v in variants]
        self.table("Concept files", [row | {"identity minus fp32": str(g)} for row, g in zip(rows, gaps, strict=True)])

    def leakage(self) -> None:
        variants = [Variant(method, drawing_of(method, TEMPLATE)) for method in self.methods]
        shown = [variant for variant in variants if variant.label in IN_COMPANY_FIGURES]
        if OURS in self.methods:
            globally = drawing_of(OURS, TEMPLATE, Dial(locking="global_gated"))
            variants.append(Variant(f"{OURS}, global locking", globally))
        pairs, threes = list(combinations(self.subjects, 2)), circles(self.subjects)
        asked = [(groups, positions) for groups in (pairs, threes) if groups for positions in (False, True)]
        titles = [f"{len(groups[0])} concepts in one picture{tables.NAMED[positions]}" for groups, positions in asked]
        complete = [self.company(title, variants, *each) for title, each in zip(titles, asked, strict=True)]
        if not all(complete):
            return
        if OURS in self.methods:
            self.table("Ours minus the others in company", self.company_gaps(asked))
        draw_company_figures(shown, self.subjects, self.options.company_prompts, self.store, self.options.figures)

    def company_gaps(self, asked: Sequence[tuple[Sequence[Sequence[Subject]], bool]]) -> list[tables.Row]:
        ours, count = drawing_of(OURS, TEMPLATE), self.options.company_prompts
        return [
            tables.company_gap_row(ours, drawing_of(method, TEMPLATE), groups, count, self.store, positions)
            for groups, positions in asked
            for method in self.methods
            if method not in (BASE, OURS)
        ]

    def pairs(self) -> None:
        """What the dials do in company: every pair of tuning individuals, and each beside figures of other classes."""
        variants, pairs = company_dials(), list(combinations(self.tuning, 2))
        self.work(variants[:1], self.tuning, self.options.seeds)
        self.company("Dials with two in one picture (tuning individuals)", variants, pairs)
        beside = {v.label: replace(v.drawing, seeds=self.options.operating_seeds) for v in variants}
        if not self.options.tables_only:
            companions_work(list(beside.values()), self.tuning, self.store, self.options.processes)
        rows = companion_rows(beside, self.tuning, self.store)
        self.table("Dials beside a figure of another class (tuning individuals)", rows)

    def company(
        self, title: str, variants: Sequence[Variant], groups: Sequence[Sequence[Subject]], positions: bool = False
    ) -> bool:
        """Draw what is missing, if work is to be done, and report; false if anything is missing still."""
        drawings, count = [variant.drawing for variant in variants], self.options.company_prompts
        missing = company_missing(drawings, groups, count, self.store, positions)
        if missing and self.options.tables_only:
            return False
        company_work(missing, count, self.store, positions, self.options.processes)
        if groups:
            self.table(title, tables.leakage_rows(variants, groups, count, self.store, positions))
        return True

    def companions(self) -> None:
        """One concept and a figure of another class, which no method was taught anything about."""
        seeds, subjects, store = self.options.seeds, self.subjects, self.store
        fronts = {m: [drawing_of(m, TEMPLATE, dial, seeds) for dial in dials_of(m)] for m in self.methods}
        shown = {method: drawing_of(method, TEMPLATE, seeds=seeds) for method in self.methods}
        sides = {f"({s.letter}) {s.claim}": (s.better, s.other) for s in signs(seeds) if s.methods <= set(self.methods)}
        if OURS in shown:
            leak_free = replace(shown[OURS], dial=replace(shown[OURS].dial, leak_free=True))
            sides["the leak-free gate is better than the paper's"] = leak_free, shown[OURS]
        if not self.options.tables_only:
            companions_work(
                [*chain(*fronts.values()), *chain(*sides.values())], subjects, store, self.options.processes
            )
        samples = front_samples(fronts, subjects, store)
        dials = {f"{m}, {tables.dial_label(m, drawing)}": drawing for m, front in fronts.items() for drawing in front}
        self.table("A concept beside a figure of another class", companion_rows(dials, subjects, store))
        self.table("Area under the front beside a figure of another class", companion_areas(samples))
        against = {m: (shown[OURS], other) for m, other in shown.items() if OURS in shown and m not in (BASE, OURS)}
        for title, pairs, heading in (
            ("Beside a figure of another class: ours minus the others", against, "ours minus"),
            ("Signs and gate beside a figure of another class", sides, "sign"),
        ):
            self.table(title, companion_gaps(pairs, subjects, store, heading))
        draw_companion_figures(fronts, samples, subjects, store, self.options.figures)

    def harm(self) -> None:
        methods = [method for method in self.methods if method != BASE]
        self.table("Prompts without the concept", tables.harm_rows(methods, self.subjects, 4, self.store))

    def figures(self) -> None:
        draw_figures(self.measures, self.fronts, self.options.figures)


def progress(line: str) -> None:
    print(f"\r{line}    ", end="", file=sys.stderr, flush=True)


def main(description: str, arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments, description)
    if not weights_path().exists():
        sys.exit(f"The pixel world has no weights at {weights_path().name}; train it with python -m pixelworld.train.")
    proof = Proof(options)
    for part in (part for part in PARTS if part in options.part):
        getattr(proof, part)()
    write_report(options.out / "report.json", [], tables=proof.written)
    parts = [f"### {title}\n\n{markdown_table(rows)}\n" for title, rows in proof.written.items()]
    write_atomically(options.out / "tables.md", "\n".join(parts).encode())
