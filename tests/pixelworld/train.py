"""Trains the pixel world's U-Net: python -m pixelworld.train RUN_FOLDER --minutes 140

One process per core, gradients averaged. Run it again to go on from the last checkpoint; the learning rate follows the
time used. `--start WEIGHTS` begins at weights that have been trained before.
"""
import argparse
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file, save_file
from torch import Tensor

from .art import SIZE, WIDE
from .captions import Caption, sample_caption, sample_scene, sample_three, with_positions
from .scene import draw
from .text_encoder import LENGTH, TextEncoder
from .unet import UNet
from .world import as_batch, fast_bfloat16, latents_from_pictures, noise_schedule

PLAIN_CAPTIONS, KNOWN_CAPTIONS, THREES = 12_000, 16_000, 8_000
KNOWN, PAIRS = 0.75, 0.4
"""In the second kind of captions: the share of figures called by name, and the share with two figures."""
SHARES = {"two names": 0.45, "a name": 0.25, "two classes": 0.15, "a class": 0.15}
"""Of a batch: looks take longest to learn, and whose look is whose takes longer still."""
WIDE_EVERY = 2
"""Every so many steps, a batch of wide pictures of three figures, as many as have the same number of pixels."""
SHORT = 26
"""No caption is longer: until the last part of the training, the padding beyond is left out."""
FULL_LENGTH_FROM = 0.85
FULL_LENGTH_STRIDE = 8
"""The part at full length sees every eighth caption: encodings of 77 tokens are large."""
EMPTY_SHARE = 0.1
PEAK_RATE, WARM_UP_STEPS = 1e-3, 200
EMA_DECAY = 0.999
LARGEST_WEIGHT = 60.0
FIGURE_WEIGHT = 4.0
"""Weight of the cells that carry traits or an accessory: they take longest to learn. Each pixel's best estimate stays
what it was."""
CHECKPOINT_SECONDS = 150


def training_captions() -> list[Caption]:
    """The distinct captions seen in training; evaluation draws others."""
    rng = np.random.RandomState(0)
    plain = list(dict.fromkeys(sample_caption(rng) for _ in range(2 * PLAIN_CAPTIONS)))[:PLAIN_CAPTIONS]
    drawn = (sample_caption(rng, pairs=PAIRS, known=KNOWN) for _ in range(2 * KNOWN_CAPTIONS))
    captions = plain + list(dict.fromkeys(drawn))[:KNOWN_CAPTIONS]
    threes = list(dict.fromkeys(sample_three(rng, KNOWN) for _ in range(THREES)))
    return captions + with_positions(captions) + threes


def kind(caption: Caption) -> str:
    """Which of `SHARES` a caption belongs to, or "three"."""
    if caption.third:
        return "three"
    if caption.partner and bool(caption.name) == bool(caption.partner_name):
        return "two names" if caption.name else "two classes"
    return "a name" if caption.name or caption.partner_name else "a class"


def encode_captions(folder: Path, captions: list[Caption], length: int) -> Tensor:
    """Encodings (1 + captions, length, 768) in float16, the empty caption first, kept in `folder`."""
    path = folder / f"encodings_{length}.safetensors"
    if not path.exists():
        encoder = TextEncoder()
        texts = ["", *(caption.text() for caption in captions)]
        parts = []
        with torch.no_grad():
            for start in range(0, len(texts), 64):
                embedded = torch.stack([encoder.embed(encoder.tokens(text)) for text in texts[start:start + 64]])
                parts.append(encoder(embedded[:, :length]).half())
        save_file({"encodings": torch.cat(parts)}, path)
    return load_file(path)["encodings"]


def velocity_weight(alphas_cumprod: Tensor) -> Tensor:
    """Turns the noise error into the velocity error (Salimans & Ho 2022), up to a largest weight."""
    return (1 / alphas_cumprod).clamp(max=LARGEST_WEIGHT)


class CaptionDraw:
    """Draws captions of every kind in its share, or of three figures, by their indices."""

    def __init__(self, captions: list[Caption]) -> None:
        kinds = np.array([kind(caption) for caption in captions])
        self.kinds = [np.flatnonzero(kinds == name) for name in SHARES]
        self.threes = np.flatnonzero(kinds == "three")

    def __call__(self, count: int, rng: np.random.RandomState, threes: bool = False) -> np.ndarray:
        """Indices (count,)."""
        if threes:
            return rng.choice(self.threes, count)
        chosen = rng.choice(len(self.kinds), count, p=list(SHARES.values()))
        return np.array([rng.choice(self.kinds[number]) for number in chosen])


def learning_rate(peak: float, step: int, progress: float) -> float:
    """Warm-up to `peak` by steps, then a cosine over the share of the time used."""
    fall = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return peak * min(1.0, (step + 1) / WARM_UP_STEPS) * (0.01 + 0.99 * fall)


class Run:
    """One process of the training: its network, average, optimiser and clock."""

    def __init__(self, rank: int, folder: Path, batch: int, peak_rate: float, start: Path | None) -> None:
        self.folder, self.rank, self.batch, self.peak_rate = folder, rank, batch, peak_rate
        torch.manual_seed(0)
        self.unet = UNet().to(memory_format=torch.channels_last)
        if start is not None:
            self.unet.load_state_dict({name: tensor.float() for name, tensor in load_file(start).items()})
        self.average = {name: tensor.clone() for name, tensor in self.unet.state_dict().items()}
        self.optimizer = torch.optim.AdamW(self.unet.parameters(), lr=peak_rate, weight_decay=1e-3, betas=(0.9, 0.99))
        self.alphas_cumprod = noise_schedule()
        self.step, self.seconds = 0, 0.0
        state = folder / "state.pt"
        if state.exists():
            saved = torch.load(state, weights_only=True)
            self.unet.load_state_dict(saved["unet"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.average, self.step, self.seconds = saved["average"], saved["step"], saved["seconds"]

    def use_captions(self, captions: list[Caption]) -> None:
        self.captions, self.draw_captions = captions, CaptionDraw(captions)

    def draw_batch(self, encodings: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Latents (B, 4, 16, W), pixel weights (B, 1, 16, W), timesteps (B,), encodings (B, T, d).

        B is `self.batch` for the world's own width, less for wide pictures.
        """
        rng = np.random.RandomState((self.step * 8 + self.rank) % 2**32)
        wide = self.step % WIDE_EVERY == WIDE_EVERY - 1
        batch = self.batch * SIZE // WIDE if wide else self.batch
        chosen = self.draw_captions(batch, rng, threes=wide)
        canvases = [draw(sample_scene(self.captions[index], rng)) for index in chosen]
        latents = latents_from_pictures(as_batch([canvas.pixels for canvas in canvases]))
        heavy = [np.any([*canvas.body_masks, *canvas.accessory_masks], axis=0) for canvas in canvases]
        rows = np.where(rng.rand(batch) < EMPTY_SHARE, 0, chosen + 1)
        # Stratified over the batch: the weight makes the loss depend strongly on the timestep.
        strata = (rng.permutation(batch) + rng.rand(batch)) / batch
        timesteps = torch.from_numpy((1000 * strata).astype(np.int64))
        weights = 1 + (FIGURE_WEIGHT - 1) * torch.from_numpy(np.stack(heavy))[:, None].float()
        return latents, weights, timesteps, encodings[rows].float()

    def train_step(self, encodings: Tensor, progress: float) -> float:
        """One optimiser step on gradients averaged over the processes; returns this process's loss."""
        latents, weights, timesteps, context = self.draw_batch(encodings)
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(self.step * 8 + self.rank))
        alpha = self.alphas_cumprod[timesteps]
        noisy = alpha.sqrt()[:, None, None, None] * latents + (1 - alpha).sqrt()[:, None, None, None] * noise
        with torch.autocast("cpu", torch.bfloat16, enabled=fast_bfloat16()):
            predicted = self.unet(noisy.contiguous(memory_format=torch.channels_last), timesteps, context)
        loss = (velocity_weight(alpha) * (weights * (predicted.float() - noise).square()).mean((1, 2, 3))).mean()
        self.optimizer.zero_grad()
        loss.backward()
        gradients = [parameter.grad for parameter in self.unet.parameters()]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        flat *= min(1.0, 1.0 / (flat.norm().item() + 1e-6))
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))
        self.optimizer.param_groups[0]["lr"] = learning_rate(self.peak_rate, self.step, progress)
        self.optimizer.step()
        self.step += 1
        decay = min(EMA_DECAY, self.step / (self.step + 9))
        for name, tensor in self.unet.state_dict().items():
            self.average[name].lerp_(tensor, 1 - decay)
        return loss.item()

    def save(self) -> None:
        """Writes the checkpoint, and the average as float16 weights, each whole or not at all."""
        state = {"unet": self.unet.state_dict(), "optimizer": self.optimizer.state_dict(), "average": self.average}
        torch.save({**state, "step": self.step, "seconds": self.seconds}, self.folder / "state.tmp")
        os.replace(self.folder / "state.tmp", self.folder / "state.pt")
        halves = {name: tensor.half().contiguous() for name, tensor in self.average.items()}
        save_file(halves, self.folder / "weights.tmp")
        os.replace(self.folder / "weights.tmp", self.folder / "weights.safetensors")


def work(rank: int, processes: int, minutes: float, folder: Path, *how) -> None:
    """The loop of one process. Process 0 keeps the clock, which all follow, the log and the checkpoints.

    The clock counts the processor's time, not the wall's, so that a training may run behind other work (``nice``).
    """
    # A session of its own: a kernel that shares the processor out by session then counts each process as one.
    os.setsid()
    parent = os.getppid()
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=processes)
    run = Run(rank, folder, *how)
    every_caption, length, encodings = training_captions(), 0, None
    last, saved, losses = time.process_time(), time.process_time(), []
    while True:
        now = time.process_time()
        run.seconds, last = run.seconds + now - last, now
        clock = torch.tensor([run.seconds])
        dist.broadcast(clock, 0)
        progress = clock.item() / (60 * minutes)
        wanted = SHORT if progress < FULL_LENGTH_FROM else LENGTH
        if wanted != length:
            length = wanted
            run.use_captions(every_caption[:: 1 if length == SHORT else FULL_LENGTH_STRIDE])
            if rank == 0:
                encode_captions(folder, run.captions, length)
            dist.barrier()
            encodings = encode_captions(folder, run.captions, length)
            last = time.process_time()
        losses.append(run.train_step(encodings, progress))
        if rank == 0 and run.step % 50 == 0:
            with open(folder / "log.txt", "a") as log:
                log.write(f"step {run.step} loss {np.mean(losses):.4f} seconds {run.seconds:.0f}/{60 * minutes:.0f}\n")
            losses.clear()
        if rank == 0 and (now - saved > CHECKPOINT_SECONDS or progress >= 1):
            run.save()
            saved = now
        # What killed the command did not reach a session of its own.
        if progress >= 1 or os.getppid() != parent:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=140, help="of the processor's time")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16, help="pictures per process")
    parser.add_argument("--rate", type=float, default=PEAK_RATE, help="the learning rate's peak")
    parser.add_argument("--start", type=Path, help="weights to begin at")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    args.folder = args.folder.resolve()
    (args.folder / "rendezvous").unlink(missing_ok=True)
    how = (args.processes, args.minutes, args.folder, args.batch, args.rate, args.start)
    mp.spawn(work, how, nprocs=args.processes, daemon=True)


if __name__ == "__main__":
    main()
