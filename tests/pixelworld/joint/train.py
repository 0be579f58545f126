"""Trains the joint world: python -m pixelworld.joint.train RUN_FOLDER --minutes 60 [--start WEIGHTS]

One process on one core. Matrices learn by Muon, the rest by AdamW. The learning rate falls over the last six tenths
of the time. The average weights are written every two minutes; `--start` goes on from such a file.
"""
from __future__ import annotations

import argparse
import os
import queue
import threading
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from .. import art
from ..captions import sample_scene
from ..scene import draw
from ..train import EMPTY_SHARE, SHORT, encode_captions, kind, training_captions
from ..world import as_batch, latents_from_pictures
from .fast import fast_velocity
from .transformer import transformer
from .world import shifted

CAPTIONS, CAPTION_SEED = 20_000, 7
SHARES = {"two names": 0.2, "a name": 0.35, "two classes": 0.15, "a class": 0.3}
"""Of a batch. Captions of three figures, whose pictures are wide, are left out."""
BACKGROUND_WEIGHT, FOREGROUND_WEIGHT = 0.5, 4.5
"""Places are learned first by far; figures and objects take longest."""
PEAK_RATE, REST_RATE, FALL_FROM, LEAST = 8e-4, 0.4, 0.4, 0.02
WARM_UP_STEPS, AVERAGE = 50, 0.99
SAVE_SECONDS = 120


class Batches:
    """Draws batches in a thread of its own, each from its number alone."""

    def __init__(self, folder: Path, batch: int, seed: int) -> None:
        captions = [caption for caption in training_captions() if not caption.third]
        chosen = np.random.RandomState(CAPTION_SEED).permutation(len(captions))[:CAPTIONS]
        self.captions, self.batch, self.seed = [captions[index] for index in chosen], batch, seed
        self.encodings = encode_captions(folder, self.captions, SHORT)
        kinds = np.array([kind(caption) for caption in self.captions])
        self.kinds = [np.flatnonzero(kinds == name) for name in SHARES]
        self.ready: queue.Queue = queue.Queue(6)
        threading.Thread(target=self._produce, daemon=True).start()

    def _produce(self) -> None:
        number = 0
        while True:
            self.ready.put(self.one(np.random.RandomState((number * 8 + 12345 + self.seed) % 2**32)))
            number += 1

    def one(self, rng: np.random.RandomState) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Latents (B, 4, 16, 16), pixel weights (B, 1, 16, 16), sigmas (B,), encodings (B, 26, 768)."""
        which = rng.choice(len(self.kinds), self.batch, p=list(SHARES.values()))
        chosen = np.array([rng.choice(self.kinds[number]) for number in which])
        scenes = [sample_scene(self.captions[index], rng) for index in chosen]
        pictures = as_batch([draw(scene).pixels for scene in scenes])
        places = as_batch([art.background(scene.place, scene.variant, scene.width) for scene in scenes])
        foreground = (pictures != places).any(-1).unsqueeze(1)
        weights = torch.where(foreground, FOREGROUND_WEIGHT, BACKGROUND_WEIGHT)
        rows = np.where(rng.rand(self.batch) < EMPTY_SHARE, 0, chosen + 1)
        even = torch.from_numpy((rng.permutation(self.batch) + rng.rand(self.batch)) / self.batch).float()
        return latents_from_pictures(pictures), weights, shifted(even), self.encodings[rows].float()


class Run:
    """The network, its average and its optimisers."""

    def __init__(self, start: Path | None, peak_rate: float, seed: int = 0) -> None:
        self.net, self.peak_rate, self.seed, self.step = transformer(), peak_rate, seed, 0
        if start is not None:
            self.net.load_state_dict({name: tensor.float() for name, tensor in load_file(start).items()})
        self.average = {name: tensor.clone() for name, tensor in self.net.state_dict().items()}
        named = dict(self.net.named_parameters())
        inner = [name for name, p in named.items() if p.ndim == 2 and ("layers." in name or "refiner." in name)]
        self.rest = [parameter for name, parameter in named.items() if name not in inner]
        matrices = [named[name] for name in inner]
        self.muon = torch.optim.Muon(matrices, weight_decay=1e-2, adjust_lr_fn="match_rms_adamw")
        self.adam = torch.optim.AdamW(self.rest, weight_decay=0, betas=(0.9, 0.98))

    def train_step(self, latents: Tensor, weights: Tensor, sigmas: Tensor, encodings: Tensor, progress: float) -> float:
        """One step on the weighted velocity error; returns it."""
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(self.step + 999 + self.seed))
        noisy = torch.lerp(latents, noise, sigmas.view(-1, 1, 1, 1))
        error = fast_velocity(self.net, noisy, sigmas, encodings) - (noise - latents)
        loss = (weights * error.square()).mean()
        self.net.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.rest, 1.0)
        rate = self.peak_rate * min(1.0, (self.step + 1) / WARM_UP_STEPS)
        rate *= max(LEAST, min(1.0, (1 - progress) / (1 - FALL_FROM)))
        for optimizer, factor in ((self.muon, 1.0), (self.adam, REST_RATE)):
            optimizer.param_groups[0]["lr"] = rate * factor
            optimizer.step()
        self.step += 1
        decay = min(AVERAGE, self.step / (self.step + 9))
        for name, tensor in self.net.state_dict().items():
            self.average[name].lerp_(tensor, 1 - decay)
        return loss.item()

    def save(self, folder: Path) -> None:
        """Writes the average as float16 weights, whole or not at all."""
        halves = {name: tensor.half().contiguous() for name, tensor in self.average.items()}
        save_file(halves, folder / "weights.tmp")
        os.replace(folder / "weights.tmp", folder / "weights.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rate", type=float, default=PEAK_RATE)
    parser.add_argument("--start", type=Path, help="weights to begin at")
    parser.add_argument("--seed", type=int, default=0, help="another one where a run goes on: other batches and noise")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.folder.mkdir(parents=True, exist_ok=True)
    batches, run, losses = Batches(args.folder, args.batch, args.seed), Run(args.start, args.rate, args.seed), []
    started = saved = time.monotonic()
    while (progress := (time.monotonic() - started) / (60 * args.minutes)) < 1:
        losses.append(run.train_step(*batches.ready.get(), progress))
        if run.step % 50 == 0:
            with open(args.folder / "log.txt", "a") as log:
                log.write(f"step {run.step} loss {np.mean(losses):.4f} at {progress:.3f}\n")
            losses.clear()
        if time.monotonic() - saved > SAVE_SECONDS:
            run.save(args.folder)
            saved = time.monotonic()
    run.save(args.folder)


if __name__ == "__main__":
    main()
