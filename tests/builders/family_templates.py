"""The official templates of today's models, in API form and small."""

from __future__ import annotations

import copy
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from builders.family_files import family_of, file_of, kind_of
from builders.inputs import FRAMES
from builders.subgraphs import unfolded
from builders.templates import PACKAGE
from builders.ui_workflows import NOTES, nodes_of, to_api
from builders.weight_forms import form_of

NETWORKS = {"UNETLoader": "unet_name", "CheckpointLoaderSimple": "ckpt_name"}
CLIP_LOADERS = ("CLIPLoader", "DualCLIPLoader", "QuadrupleCLIPLoader")
LOADERS = {
    "UNETLoader": {"unet_name": "diffusion_models"},
    "CheckpointLoaderSimple": {"ckpt_name": "checkpoints"},
    "CLIPLoader": {"clip_name": "text_encoders"},
    "DualCLIPLoader": {"clip_name1": "text_encoders", "clip_name2": "text_encoders"},
    "QuadrupleCLIPLoader": {f"clip_name{n}": "text_encoders" for n in (1, 2, 3, 4)},
    "VAELoader": {"vae_name": "vae"},
    "LoraLoaderModelOnly": {"lora_name": "loras"},
    "LoraLoader": {"lora_name": "loras"},
    "ModelPatchLoader": {"name": "model_patches"},
    "ControlNetLoader": {"control_net_name": "controlnet"},
    "CLIPVisionLoader": {"clip_name": "clip_vision"},
    "StyleModelLoader": {"style_model_name": "style_models"},
    "LoadDA3Model": {"model_name": "geometry_estimation"},
    "UpscaleModelLoader": {"model_name": "upscale_models"},
    "AudioEncoderLoader": {"audio_encoder_name": "audio_encoders"},
}
"""Node -> its inputs that name a file, and the folder below models/."""
NO_FILE = "pixel_space"
"""A choice of the VAE loader's that the host makes itself."""
PICTURE, FILM, SOUND = "LoadImage", "LoadVideo", "LoadAudio"
SWITCHED_ON = ("flux1_dev_uso_reference_image_gen",)
"""Templates that come with their second network bypassed: they run once more, with every node at work."""
SAVERS = {"SaveImage", "SaveImageAdvanced", "PreviewImage", "SaveAnimatedWEBP", "SaveVideo"}
SMALL = {"width": 64, "height": 64, "batch_size": 1, "length": 1, "steps": 2, "megapixels": 0.01}
SMALL |= {"resize_type.megapixels": 0.01, "largest_size": 64, "resolution": 140}
SMALL |= {"resize_type.width": 64, "resize_type.height": 64, "motion_frame_count": 1, "previous_frame_count": 1}
SMALL |= {"left": 16, "top": 16, "right": 16, "bottom": 16, "feathering": 8}
LENGTHS = ("length", "video_frames", "segment_length")
"""Inputs that count frames."""


@dataclass(frozen=True)
class Template:
    """One official workflow that loads a model of a family that concepts are trained for."""

    name: str
    saved: dict[str, Any]

    @cached_property
    def flat(self) -> dict[str, Any]:
        """Without subgraphs and notes."""
        flat = unfolded(self.saved)
        return {**flat, "nodes": [node for node in flat["nodes"] if node["type"] not in NOTES]}

    def switched_on(self) -> Template:
        """The same with no node bypassed or muted."""
        saved = copy.deepcopy(self.saved)
        for part in (saved, *saved.get("definitions", {}).get("subgraphs", ())):
            for node in part["nodes"]:
                node["mode"] = 0
        return Template(f"{self.name}, nothing bypassed", saved)

    @cached_property
    def networks(self) -> list[str]:
        """File names of the models that draw, and of those that no small file is like."""
        names = [node["widgets_values"][0] for node in self.flat["nodes"] if node["type"] in NETWORKS]
        return [name for name in names if not kind_of("beside", name)]

    @property
    def kinds(self) -> list[str]:
        return [kind for kind in (kind_of("networks", name) for name in self.networks) if kind]

    @property
    def forms(self) -> tuple[str, ...]:
        """How the weights of its models lie in their files."""
        return tuple(dict.fromkeys(map(form_of, self.networks)))

    @property
    def family(self) -> str:
        return family_of(self.kinds[0])

    def unfit(self, known: dict[str, Any] | None = None) -> str | None:
        """Why it is not run on a server, whose nodes are ``known`` if it is up; none for a template that is."""
        types = {node["type"] for node in self.flat["nodes"]}
        others = [name for folder, name in self._loaded() if not self._file(folder, name)]
        loaders = {kind for kind in types if "Load" in kind} - {*LOADERS, PICTURE, FILM, SOUND}
        missing = types - {*known, "PrimitiveNode"} if known else set()
        if missing:
            return f"needs nodes of other packs or services: {', '.join(sorted(missing))}"
        if others or loaders:
            return f"loads another model too: {', '.join([*others, *sorted(loaders)])}"
        encoders = {str(node["widgets_values"]) for node in self.flat["nodes"] if node["type"] in CLIP_LOADERS}
        return "draws with several models side by side, each with a CLIP of its own" if len(encoders) > 1 else None

    @property
    def pictures(self) -> list[str]:
        """Names of the pictures that it starts from."""
        return self._named(PICTURE)

    @property
    def films(self) -> list[str]:
        """Names of the films that it follows."""
        return self._named(FILM)

    @property
    def sounds(self) -> list[str]:
        """Names of the sounds that it follows."""
        return self._named(SOUND)

    def _named(self, loader: str) -> list[str]:
        return [node["widgets_values"][0] for node in self.flat["nodes"] if node["type"] == loader]

    def files(self) -> dict[str, str]:
        """Path below models/ -> the small file that stands there."""
        found = {f"{folder}/{name}": self._file(folder, name) for folder, name in self._loaded()}
        return {path: file for path, file in found.items() if file}

    def _file(self, folder: str, name: str) -> str | None:
        return f"loras/{self.kinds[0]}" if folder == "loras" else file_of(folder, name)

    def _loaded(self) -> Iterator[tuple[str, str]]:
        """The folder and the name of every file that it loads."""
        for node in self.flat["nodes"]:
            # A loader's first widgets are its files.
            folders = LOADERS.get(node["type"], {}).values()
            named = zip(folders, node.get("widgets_values", ()), strict=False)
            yield from ((folder, name) for folder, name in named if name != NO_FILE)


def templates() -> list[Template]:
    """Every installed template that loads a model of ours, by name."""
    found = importlib.util.find_spec(PACKAGE)
    files = sorted(Path(found.origin).parent.glob("templates/*.json")) if found else []
    loaded = [(file.stem, json.loads(file.read_text(encoding="utf-8"))) for file in files]
    every = [Template(name, saved) for name, saved in loaded if isinstance(saved, dict) and "nodes" in saved]
    every = [template for template in every if template.kinds]
    more = [template.switched_on() for template in every if template.name in SWITCHED_ON]
    return sorted([*every, *more], key=lambda template: template.name)


def small(template: Template, server) -> dict[str, dict]:
    """In API form: 64 pixels, two steps, of which a second sampler takes one; pictures are previewed.

    It has one frame, or the few of a small film where it follows a film or a sound.
    """
    flat, moves = template.flat, template.films or template.sounds
    sizes = SMALL | dict.fromkeys(LENGTHS if moves else (), FRAMES)
    savers = [node for node in flat["nodes"] if node["type"] in SAVERS]
    graph = to_api({**flat, "nodes": [node for node in flat["nodes"] if node not in savers]}, server)
    for node in graph.values():
        inputs = node["inputs"]
        inputs |= {name: value for name, value in sizes.items() if name in inputs}
        if node["class_type"] == "FluxKontextImageScale":
            scaled = {"image": inputs["image"], "upscale_method": "area", "width": 64, "height": 64, "crop": "center"}
            node |= {"class_type": "ImageScale", "inputs": scaled}
        if node["class_type"] == "WanTrackToVideo":
            # It follows points from one latent frame to the next.
            inputs["length"] = FRAMES
        if node["class_type"] == "Painter":
            inputs["mask"] = template.pictures[0]
        if node["class_type"] == "KSamplerAdvanced":
            first = inputs["add_noise"] == "enable"
            inputs |= {"end_at_step": 1} if first else {"start_at_step": 1, "end_at_step": 10000}
    sources = {link[0]: link[1:3] for link in flat["links"]}
    for node in savers:
        (source,) = (sources[entry["link"]] for entry in node["inputs"] if entry["name"] in ("images", "video"))
        if graph[source[0]]["class_type"] == "CreateVideo":
            source = graph[source[0]]["inputs"]["images"]
        # A preview hands its pictures on.
        for other in graph.values():
            passed = {key: source for key, value in other["inputs"].items() if value == [str(node["id"]), 0]}
            other["inputs"] |= passed
        graph[f"shown:{node['id']}"] = {"class_type": "PreviewImage", "inputs": {"images": source}}
    return pruned(graph)


def pruned(graph: dict[str, dict]) -> dict[str, dict]:
    """The nodes that a preview needs."""
    needed, open_ = set(), nodes_of(graph, "PreviewImage")
    while open_:
        name = open_.pop()
        if name not in needed:
            needed.add(name)
            open_ += [value[0] for value in graph[name]["inputs"].values() if is_link(value)]
    return {name: node for name, node in graph.items() if name in needed}


def is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)
