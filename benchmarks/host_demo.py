"""The demo inside a real ComfyUI: trains two concepts and draws with them, through the shipped workflows and the API.

    python dev.py demo --comfyui [--out demo_out/comfyui]
    python dev.py comfyui [--port 8188]

The first leaves sheets of pictures and ``report.json`` in the folder; the second leaves the server running, with the
pack, the pixel world's checkpoint, training pictures and whatever the demo trained, for a browser.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from demonstration.scores import identity, leakage, text_alignment
from demonstration.studio import PAIR_PLACES, PROMPTS, SEED, STARS, Star
from host.server import Server
from host.ui_workflows import TRAIN, TWO, USE, nodes_of, shipped, to_api
from pixelworld.captions import Caption
from pixelworld.expand import write_checkpoint
from pixelworld.scene import training_pictures
from report import ROOT, origin
from sheets import Row, draw_sheet, save_sheet

CELL = 8
"""Picture pixels per cell of the pixel world."""
BIASES = (0.3, 0.5, 0.6, 0.75, 0.9)
TRAINING = {
    "steps": 40,
    "batch_size": 4,
    "micro_batch": 4,
    "value_learning_rate": 0.03,
    "word_learning_rate": 0.006,
    "flip": False,
    "templates": "a photo of a {}\na picture of a {}\na painting of a {}\na {}",
    "preview_every": 0,
}
SAMPLING = {"steps": 9, "cfg": 3.0, "sampler_name": "dpmpp_2m", "scheduler": "sgm_uniform"}


class HostDemo:
    """One run of the demo against ``server``; sheets go to ``out``."""

    def __init__(self, server: Server, checkpoint: str, out: Path) -> None:
        self.server, self.checkpoint, self.out = server, checkpoint, out

    def tell(self) -> dict[str, Any]:
        files = [self.train(star) for star in STARS]
        singles = [self.draw_alone(star, file) for star, file in zip(STARS, files, strict=True)]
        report = {"concepts": [entry for entry, _ in singles], "bias": self.sweep(files[0])}
        report["two_concepts"] = self.draw_both(files)
        return report

    def train(self, star: Star) -> str:
        """Train on the star's pictures; the file's name in Load Perfusion Concept."""
        started = time.monotonic()
        names = write_pictures(star, self.server.folder / "input")
        graph = self._graph(TRAIN)
        settings = {"word": star.word, "superclass": star.individual.class_word, **TRAINING}
        self._set(graph, "PerfusionTrainConcept", settings)
        for node, name in zip(nodes_of(graph, "LoadImage"), names, strict=True):
            graph[node]["inputs"]["image"] = name
        self._with_masks(graph)
        self._set(graph, "PerfusionSaveConcept", {"filename": star.name, "overwrite": True})
        self.server.run(graph)
        say(f"{star.word} trained in {time.monotonic() - started:.0f} s")
        return f"{star.name}.safetensors"

    def _with_masks(self, graph: dict[str, dict]) -> None:
        """The pictures' alpha channels as masks, and text statistics on few captions: enough for a small world."""
        (train,) = nodes_of(graph, "PerfusionTrainConcept")
        loaders = nodes_of(graph, "LoadImage")
        previous = None
        for number, loader in enumerate(loaders):
            graph[f"mask{number}"] = {"class_type": "MaskToImage", "inputs": {"mask": [loader, 1]}}
            if previous is None:
                previous = [f"mask{number}", 0]
                continue
            inputs = {"image1": previous, "image2": [f"mask{number}", 0]}
            graph[f"masks{number}"] = {"class_type": "ImageBatch", "inputs": inputs}
            previous = [f"masks{number}", 0]
        graph["masks"] = {"class_type": "ImageToMask", "inputs": {"image": previous, "channel": "red"}}
        clip = graph[train]["inputs"]["clip"]
        statistics = {"clip": clip, "captions": 300, "own_captions": ""}
        graph["statistics"] = {"class_type": "PerfusionTextStatistics", "inputs": statistics}
        graph[train]["inputs"] |= {"masks": ["masks", 0], "statistics": ["statistics", 0]}

    def draw(self, files: list[str], texts: list[str], bias: float = 0.6, strength: float = 1.0) -> np.ndarray:
        """Queue a picture for each text, all at once, then wait: (N, 16, 16, 3) in [0, 1]."""
        name = USE if len(files) == 1 else TWO
        queued, events = [], self.server.events()
        for number, text in enumerate(texts):
            graph = self._graph(name)
            for node, file in zip(nodes_of(graph, "PerfusionLoadConcept"), files, strict=True):
                graph[node]["inputs"]["concept"] = file
            self._set(graph, "PerfusionApplyKeyLockedAttention", {"bias": bias, "visual_strength": strength})
            self._set(graph, "EmptyLatentImage", {"width": 16 * CELL, "height": 16 * CELL})
            self._set(graph, "KSampler", {"seed": SEED + number, **SAMPLING})
            positive, negative = nodes_of(graph, "CLIPTextEncode")
            graph[positive]["inputs"]["text"], graph[negative]["inputs"]["text"] = text, ""
            (save,) = nodes_of(graph, "SaveImage")
            queued.append((self.server.queue(graph), save))
        results = [(self.server.wait(prompt, events), save) for prompt, save in queued]
        events.close()
        return np.concatenate([shrunk(self.server.pictures(result, save)) for result, save in results])

    def draw_alone(self, star: Star, file: str) -> tuple[dict[str, Any], np.ndarray]:
        """The concept and, from the same noise, its superclass: numbers, and a sheet."""
        captions = [replace(caption, class_word=star.individual.class_word) for caption in PROMPTS]
        texts = [caption.text(star.word) for caption in captions]
        taught = self.draw([file], texts)
        plain = self.draw([file], texts, strength=0.0)
        shots = [shot.pixels for shot in training_pictures(star.individual)]
        rows = [Row("learned from", shots), Row("before", list(plain)), Row(star.word, list(taught))]
        explanation = "Drawn by ComfyUI's KSampler. Before: the same prompts and noise at visual strength 0."
        save_sheet(draw_sheet(f"{star.word} in ComfyUI", explanation, texts, rows), self.out / f"{star.name}.png")
        entry = {
            "name": star.name,
            "identity": identity(taught, plain, captions, star.individual),
            "text_alignment": text_alignment(taught, captions),
            "text_alignment_before": text_alignment(plain, captions),
            "file_bytes": (self.server.folder / "output/perfusion" / file).stat().st_size,
        }
        say(f"{star.word}: identity {entry['identity']:.2f}, {entry['text_alignment']:.0%} of the text")
        return entry, taught

    def sweep(self, file: str) -> list[dict[str, Any]]:
        """One prompt at every bias."""
        star = STARS[0]
        caption = replace(PROMPTS[0], class_word=star.individual.class_word)
        pictures = [self.draw([file], [caption.text(star.word)], bias=bias) for bias in BIASES]
        explanation = "One trained concept; only the gate's bias differs."
        heads = [f"bias {bias}" for bias in BIASES]
        row = Row(caption.text(star.word), [picture[0] for picture in pictures])
        save_sheet(draw_sheet("A bias sweep", explanation, heads, [row]), self.out / "bias.png")
        return [
            {"bias": bias, "text_alignment": text_alignment(picture, [caption])}
            for bias, picture in zip(BIASES, pictures, strict=True)
        ]

    def draw_both(self, files: list[str]) -> dict[str, Any]:
        """Twelve prompts in the queue at once, each with both concepts."""
        words, individuals = [star.word for star in STARS], tuple(star.individual for star in STARS)
        places = (PAIR_PLACES * 3)[:12]
        captions = [Caption(individuals[0].class_word, place=p, partner=individuals[1].class_word) for p in places]
        texts = [caption.text(*words) for caption in captions]
        pictures = self.draw(files, texts)
        rows = [Row("", list(pictures[first : first + 4])) for first in (0, 4, 8)]
        title, explanation = "Both concepts in one picture", "Twelve prompts queued at once."
        save_sheet(draw_sheet(title, explanation, texts[:4], rows), self.out / "both.png")
        return {"leakage": leakage(pictures, individuals), "text_alignment": text_alignment(pictures, captions)}

    def _set(self, graph: dict[str, dict], kind: str, values: dict[str, Any]) -> None:
        for node in nodes_of(graph, kind):
            graph[node]["inputs"] |= values

    def _graph(self, name: str) -> dict[str, dict]:
        """A shipped workflow in API form, with the pixel world's checkpoint."""
        graph = to_api(shipped(name), self.server)
        self._set(graph, "CheckpointLoaderSimple", {"ckpt_name": self.checkpoint})
        return graph


def write_pictures(star: Star, folder: Path) -> list[str]:
    """The star's training pictures at eight pixels a cell. The host takes alpha for what is outside a mask."""
    names = []
    for number, shot in enumerate(training_pictures(star.individual)):
        pixels = np.concatenate([shot.pixels, 1 - shot.mask[..., None]], axis=-1)
        large = (255 * pixels).round().astype(np.uint8).repeat(CELL, 0).repeat(CELL, 1)
        names.append(f"{star.name}_{number + 1}.png")
        Image.fromarray(large, "RGBA").save(folder / names[-1])
    return names


def shrunk(pictures: np.ndarray) -> np.ndarray:
    """Pictures (N, 128, 128, 3) uint8 as the world's own (N, 16, 16, 3) in [0, 1], by the mean of each cell."""
    count, height, width, channels = pictures.shape
    cells = pictures.reshape(count, height // CELL, CELL, width // CELL, CELL, channels)
    return (cells.mean((2, 4)) / 255).astype(np.float32)


def say(text: str) -> None:
    print(text, flush=True)


def prepared(folder: Path) -> str:
    """Put the pixel world's checkpoint into the host's folder; its name there."""
    path = write_checkpoint(ROOT / "build" / "checkpoints")
    target = folder / "models/checkpoints" / "pixelworld.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.symlink_to(path)
    return target.name


def run_demo(comfyui: Path, out: Path) -> None:
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = prepared(Path(folder))
        with Server(comfyui, Path(folder), helpers=False) as server:
            report = HostDemo(server, checkpoint, out).tell()
    report |= {"seconds": time.monotonic() - started, "origin": origin()}
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    say(f"Both in one picture: {report['two_concepts']['leakage']:.0%} of traits on the wrong one.")
    say(f"Look at the sheets in {out}. This took {report['seconds']:.0f} s.")


def serve(comfyui: Path, folder: Path, port: int) -> None:
    checkpoint = prepared(folder)
    (folder / "input").mkdir(parents=True, exist_ok=True)
    for star in STARS:
        write_pictures(star, folder / "input")
    with Server(comfyui, folder, helpers=False, port=port) as server:
        say(f"ComfyUI runs at http://{server.address} with the checkpoint {checkpoint}; Ctrl-C ends it.")
        server.process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "demo_out" / "comfyui", help="the folder to write to")
    parser.add_argument("--serve", action="store_true", help="leave ComfyUI running for a browser")
    parser.add_argument("--port", type=int, default=8188)
    options = parser.parse_args()
    comfyui = Path(os.environ["COMFYUI_PATH"])
    try:
        if options.serve:
            serve(comfyui, options.out / "server", options.port)
        else:
            run_demo(comfyui, options.out)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
