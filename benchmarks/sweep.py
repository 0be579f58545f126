"""Whether the point that Sweep and Evaluate suggest without another model is near the best of its grid.

python dev.py bench sweep [--individuals 8] [--seen 10] [--seeds 4] [--record]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import report
from judging.points import BIASES, STRENGTHS, Judged, judged
from proof.specs import Subject, weights_fingerprint
from proof.work import Store

NEAR = 0.02
"""Loss of true score, identity times alignment by the reader, that counts as as good as the best."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--individuals", type=int, default=8, help="reported individuals")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--tuning-individuals", type=int, default=0, help="the rule was chosen on these")
    parser.add_argument("--seen", type=int, default=10, help="prompts whose pictures are scored, of 20 that are drawn")
    parser.add_argument("--seeds", type=int, default=1, help="pictures of each prompt, for the true score")
    parser.add_argument("--out", type=Path, default=Path("bench_out/sweep"))
    parser.add_argument("--name", default="sweep", help="of the record")
    report.add_record_option(parser)
    options = parser.parse_args()
    store = Store(options.out)
    tables = {}
    for title, count, first, tuning in (
        ("Tuning individuals", options.tuning_individuals, 0, True),
        ("Reported individuals", options.individuals, options.first, False),
    ):
        subjects = [Subject(first + index, tuning=tuning) for index in range(count)]
        found = [judged(subject, store, options.seen, options.seeds) for subject in subjects]
        if found:
            tables[title] = [row(each) for each in found]
            tables[f"{title}: in all"] = [summary(found)]
    report.publish(options.name, tables, options.out, options.record, world_weights=weights_fingerprint())


def row(each: Judged) -> dict:
    """What was suggested of one grid, and what its points are truly worth."""
    return {
        "subject": each.subject.index,
        "suggested": f"bias {each.suggested.bias:g}, strength {each.suggested.strength:g}",
        "true score": round(each.true[each.index], 3),
        "best of the grid": round(max(each.true), 3),
        "below the best": round(each.loss, 3),
        "usual dials below the best": round(max(each.true) - each.true[each.usual], 3),
        "worst of the grid": round(min(each.true), 3),
        "rank correlation, identity": round(rank_correlation(each.identities, each.true_identities), 2),
        "rank correlation, agreement": round(rank_correlation(each.agreements, each.true_alignments), 2),
    }


def summary(found: list[Judged]) -> dict:
    losses = [each.loss for each in found]
    return {
        "grids": len(found),
        "points of each": len(BIASES) * len(STRENGTHS),
        f"within {NEAR} of the best": sum(loss <= NEAR for loss in losses),
        "usual dials within": sum(max(each.true) - each.true[each.usual] <= NEAR for each in found),
        "mean below the best": round(float(np.mean(losses)), 3),
        "a point at random below the best": round(float(np.mean([max(e.true) - np.mean(e.true) for e in found])), 3),
    }


def rank_correlation(a: list[float], b: list[float]) -> float:
    """Spearman's, with the mean rank for ties; not a number where one side is all alike."""
    ranks = [[np.mean([sum(o < v for o in side), sum(o <= v for o in side) - 1]) for v in side] for side in (a, b)]
    if any(np.ptp(side) == 0 for side in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


if __name__ == "__main__":
    main()
