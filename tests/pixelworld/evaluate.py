"""How often the world draws what held-out captions name: python -m pixelworld.evaluate [--sheet PNG]"""
import argparse
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import islice, permutations
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import art
from .captions import Caption, sample_caption, together, with_positions
from .known import known_individuals
from .reader import Reading, identity_score, read
from .sampling import sample
from .scene import Individual
from .train import training_captions
from .traits import leaked_traits
from .world import WEIGHTS, World, load_world, pictures_from_latents

TARGETS = {"class": 0.97, "place": 0.97, "position": 0.93, "accessory": 0.93, "colour": 0.95, "both": 0.9}
"""What the world must reach before it may serve as a proof; `both` is the presence of both things a caption names."""


def held_out_captions(n: int, seed: int = 1) -> list[Caption]:
    """Captions that training never saw, under any opening or order of phrases."""
    def content(caption: Caption) -> tuple:
        return tuple(value for name, value in asdict(caption).items() if name not in ("opening", "order"))

    seen = {content(replace(caption, name=None, partner_name=None)) for caption in training_captions()}
    rng = np.random.RandomState(seed)
    drawn = iter(lambda: sample_caption(rng), None)
    return list(islice((caption for caption in drawn if content(caption) not in seen), n))


def judge(caption: Caption, reading: Reading) -> dict[str, bool]:
    """Which of the attributes that a caption names its picture shows. What it leaves open is not judged."""
    words = [figure.class_word for figure in reading.figures]
    own = next((figure for figure in reading.figures if figure.class_word == caption.class_word), None)
    verdict = {"class": own is not None, "count": reading.count == len(caption.figures())}
    if caption.place:
        verdict["place"] = reading.place == caption.place
    if caption.position:
        verdict["position"] = own is not None and own.position == caption.position
    if caption.accessory:
        verdict["accessory"] = own is not None and own.accessory == caption.accessory
    if caption.object_colour:
        verdict["colour"] = reading.object_colour == caption.object_colour
    if caption.object:
        verdict["both"] = own is not None and reading.object == caption.object
    if caption.partner:
        verdict["both"] = all(word in words for word, _ in caption.figures())
    return verdict


def rates(captions: list[Caption], readings: list[Reading]) -> dict[str, tuple[float, int]]:
    """Attribute -> (share that came out right, how many captions named it)."""
    verdicts = [judge(caption, reading) for caption, reading in zip(captions, readings, strict=True)]
    names = sorted({name for verdict in verdicts for name in verdict})
    lists = {name: [verdict[name] for verdict in verdicts if name in verdict] for name in names}
    return {name: (float(np.mean(values)), len(values)) for name, values in lists.items()}


def known_captions(n: int, seed: int = 2) -> list[Caption]:
    """Captions that each call one known individual by name and say nothing but the place."""
    rng = np.random.RandomState(seed)
    names = [str(name) for name in rng.permutation(list(known_individuals()))]
    chosen = [names[index % len(names)] for index in range(n)]
    places = [str(place) for place in rng.choice(list(art.PLACES), n)]
    looks = known_individuals()
    return [Caption(looks[name][0], place=place, name=name) for name, place in zip(chosen, places, strict=True)]


def known_identity(captions: list[Caption], pictures: Tensor) -> float:
    """Mean identity score, unscaled, of pictures of known individuals: how well the world draws a look it knows."""
    individuals = [Individual(*known_individuals()[caption.name], "", "") for caption in captions]
    scores = [identity_score(picture[None], who) for picture, who in zip(pictures, individuals, strict=True)]
    return torch.cat(scores).mean().item()


def known_groups(n: int, size: int, seed: int = 3) -> list[Caption]:
    """Captions that each call two or three known individuals of different classes by name, in a place."""
    rng, looks = np.random.RandomState(seed), known_individuals()
    captions = []
    while len(captions) < n:
        names = [str(name) for name in rng.choice(list(looks), size, replace=False)]
        words = [looks[name][0] for name in names]
        if len(set(words)) == size:
            captions.append(together(words, names, place=str(rng.choice(list(art.PLACES)))))
    return captions


def known_leakage(captions: list[Caption], pictures: Tensor) -> float:
    """Of the traits in which two known individuals differ, the share in which one's figure shows the other's."""
    looks, leaks = known_individuals(), []
    for caption, reading in zip(captions, read(pictures), strict=True):
        for (word, name), (_, other) in permutations(caption.figures(), 2):
            for figure in (f for f in reading.figures if f.class_word == word):
                leaks += leaked_traits(figure.traits, looks[name][1], looks[other][1])
    return float(np.mean(leaks))


def class_groups(n: int, size: int, seed: int = 4) -> list[Caption]:
    """Captions that name two or three classes and a place."""
    rng, captions = np.random.RandomState(seed), []
    for _ in range(n):
        words = [str(word) for word in rng.choice(list(art.SPRITES), size, replace=False)]
        captions.append(together(words, place=str(rng.choice(list(art.PLACES)))))
    return captions


Rate = tuple[str, float, int]
"""What was asked, what came out, of how many pictures."""
Drawn = Callable[[list[Caption]], Tensor]
"""Captions of equally many figures -> their pictures, (n, 16, W, 3)."""
NUMBERS = {2: "two", 3: "three"}


def identity_rate(drawn: Drawn, count: int) -> Rate:
    """How well known individuals are drawn, one in a picture."""
    known = known_captions(count)
    return "known individuals, identity", known_identity(known, drawn(known)), count


def leakage_rate(drawn: Drawn, count: int, size: int, placed: bool = False) -> Rate:
    """How much known individuals in one picture take from each other; ``placed`` captions say who stands where."""
    known = known_groups(count, size)
    known = with_positions(known) if placed else known
    which = ", positions named" if placed else ""
    return f"{NUMBERS[size]} known individuals{which}, leakage", known_leakage(known, drawn(known)), count


def class_rates(drawn: Drawn, count: int, size: int) -> list[Rate]:
    """How often all classes of a caption are drawn, without positions in it and with them."""
    groups = class_groups(count, size)
    asked = {"": groups, ", positions named": with_positions(groups)}
    return [
        (f"{NUMBERS[size]} classes{which}, all drawn", *rates(captions, read(drawn(captions)))["both"])
        for which, captions in asked.items()
    ]


def draw(world: World, texts: list[str], seeds: list[int], batch: int = 64, **options) -> Tensor:
    """Pictures (len(texts), 16, W, 3) for prompts, a seed each; `options` go to the sampler."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(texts), batch):
            encodings = world.text_encoder.encode(texts[start:start + batch])
            parts.append(pictures_from_latents(sample(world, encodings, seeds[start:start + batch], **options)))
    return torch.cat(parts)


def sheet(pictures: Tensor, columns: int = 12, zoom: int = 6) -> Image.Image:
    """Pictures (n, 16, 16, 3) side by side, enlarged without smoothing, a white line between them."""
    rows = -(-len(pictures) // columns)
    cell = 16 * zoom + 4
    canvas = np.full((rows * cell, columns * cell, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        y, x = (cell * part for part in divmod(index, columns))
        pixels = (255 * picture.numpy()).round().astype(np.uint8)
        canvas[y:y + 16 * zoom, x:x + 16 * zoom] = pixels.repeat(zoom, 0).repeat(zoom, 1)
    return Image.fromarray(canvas)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--captions", type=int, default=400)
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--known", type=int, default=128, help="pictures of known individuals, at most --captions")
    parser.add_argument("--pairs", type=int, default=64, help="pictures of two classes, at most --captions")
    parser.add_argument("--sheet", type=Path, help="write the first 48 pictures here")
    args = parser.parse_args()
    world, captions = load_world(args.weights), held_out_captions(args.captions)
    seeds = list(range(10_000, 10_000 + len(captions)))
    pictures = draw(world, [caption.text() for caption in captions], seeds, steps=args.steps, guidance=args.guidance)
    print("| attribute | right | of | target |\n| --- | --- | --- | --- |")
    for name, (share, count) in rates(captions, read(pictures)).items():
        print(f"| {name} | {share:.3f} | {count} | {TARGETS.get(name, '')} |")

    def drawn(asked: list[Caption]) -> Tensor:
        texts, width = [caption.text() for caption in asked], art.width_for(len(asked[0].figures()))
        return draw(world, texts, seeds[: len(asked)], steps=args.steps, guidance=args.guidance, width=width)

    found = [identity_rate(drawn, args.known)] if args.known else []
    for size in NUMBERS:
        found += [leakage_rate(drawn, args.known, size)] if args.known else []
        found += class_rates(drawn, args.pairs, size)
    for name, share, count in found:
        print(f"| {name} | {share:.3f} | {count} | |")
    if args.sheet:
        sheet(pictures[:48]).save(args.sheet)
        print("\n".join(f"{index}: {caption.text()}" for index, caption in enumerate(captions[:48])))


if __name__ == "__main__":
    main()
