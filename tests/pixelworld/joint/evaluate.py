"""How often the joint world draws what held-out captions name: python -m pixelworld.joint.evaluate [--sheet PNG]"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from torch import Tensor

from ..captions import Caption, sample_scene
from ..evaluate import held_out_captions, judge, known_captions, known_identity, rates, sheet
from ..reader import read
from ..scene import render
from ..world import as_batch
from .world import GUIDANCE, STEPS, WEIGHTS, draw, load_world


def share_right(captions: list[Caption], pictures: Tensor) -> float:
    """Of all that the captions name, the share that the reader finds."""
    verdicts = [judge(caption, reading) for caption, reading in zip(captions, read(pictures), strict=True)]
    return float(np.mean([right for verdict in verdicts for right in verdict.values()]))


def rendered(captions: list[Caption]) -> Tensor:
    """Pictures by the renderer itself: what the reader finds there is its ceiling."""
    rng = np.random.RandomState(5)
    return as_batch([render(sample_scene(caption, rng)) for caption in captions])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--captions", type=int, default=256)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--known", type=int, default=64, help="pictures of known individuals")
    parser.add_argument("--sheet", type=Path, help="write the first 48 pictures here")
    args = parser.parse_args()
    world, captions = load_world(args.weights), held_out_captions(args.captions)
    how, seeds = {"steps": args.steps, "guidance": args.guidance}, list(range(10_000, 10_000 + args.captions))
    pictures = draw(world, [caption.text() for caption in captions], seeds, **how)
    ceilings = rates(captions, read(rendered(captions)))
    print("| attribute | right | of | the reader's ceiling |\n| --- | --- | --- | --- |")
    for name, (share, count) in rates(captions, read(pictures)).items():
        print(f"| {name} | {share:.3f} | {count} | {ceilings[name][0]:.3f} |")
    right, ceiling = share_right(captions, pictures), share_right(captions, rendered(captions))
    print(f"| all | {right:.3f} | | {ceiling:.3f} |")
    if args.known:
        known = known_captions(args.known)
        drawn = draw(world, [caption.text() for caption in known], list(range(10_000, 10_000 + len(known))), **how)
        print(f"| known individuals, identity | {known_identity(known, drawn):.3f} | {len(known)} | |")
    if args.sheet:
        sheet(pictures[:48]).save(args.sheet)


if __name__ == "__main__":
    main()
