"""How often the joint world draws what held-out captions name: python -m pixelworld.joint.evaluate [--sheet PNG]"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from torch import Tensor

from .. import art
from ..captions import Caption, sample_scene
from ..evaluate import Rate, class_rates, held_out_captions, identity_rate, judge, leakage_rate, rates, sheet
from ..reader import read
from ..scene import render
from ..world import as_batch
from .world import GUIDANCE, STEPS, WEIGHTS, JointWorld, draw, load_world

FIRST_SEED = 10_000


def share_right(captions: list[Caption], pictures: Tensor) -> float:
    """Of all that the captions name, the share that the reader finds."""
    verdicts = [judge(caption, reading) for caption, reading in zip(captions, read(pictures), strict=True)]
    return float(np.mean([right for verdict in verdicts for right in verdict.values()]))


def rendered(captions: list[Caption]) -> Tensor:
    """Pictures by the renderer itself: what the reader finds there is its ceiling."""
    rng = np.random.RandomState(5)
    return as_batch([render(sample_scene(caption, rng)) for caption in captions])


def ceilings(world: JointWorld, count: int, **how) -> list[Rate]:
    """What no concept can beat: known individuals, alone and in twos, and classes in twos and in threes.

    Threes are drawn in art.WIDE columns, which this world was not trained on.
    """

    def drawn(captions: list[Caption]) -> Tensor:
        texts, width = [caption.text() for caption in captions], art.width_for(len(captions[0].figures()))
        return draw(world, texts, list(range(FIRST_SEED, FIRST_SEED + len(texts))), width=width, **how)

    leaked = [leakage_rate(drawn, count, 2, placed) for placed in (False, True)]
    return [identity_rate(drawn, count), *leaked, *class_rates(drawn, count, 2), *class_rates(drawn, count, 3)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--captions", type=int, default=256)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--known", type=int, default=64, help="pictures of known individuals, and of groups")
    parser.add_argument("--sheet", type=Path, help="write the first 48 pictures here")
    args = parser.parse_args()
    world, captions = load_world(args.weights), held_out_captions(args.captions)
    how, seeds = {"steps": args.steps, "guidance": args.guidance}, list(range(FIRST_SEED, FIRST_SEED + args.captions))
    pictures = draw(world, [caption.text() for caption in captions], seeds, **how)
    best = rates(captions, read(rendered(captions)))
    print("| attribute | right | of | the reader's ceiling |\n| --- | --- | --- | --- |")
    for name, (share, count) in rates(captions, read(pictures)).items():
        print(f"| {name} | {share:.3f} | {count} | {best[name][0]:.3f} |")
    right, ceiling = share_right(captions, pictures), share_right(captions, rendered(captions))
    print(f"| all | {right:.3f} | | {ceiling:.3f} |")
    for name, share, count in ceilings(world, args.known, **how) if args.known else ():
        print(f"| {name} | {share:.3f} | {count} | |")
    if args.sheet:
        sheet(pictures[:48]).save(args.sheet)


if __name__ == "__main__":
    main()
