"""One workflow of today's models on a server: plain, with the concept's nodes, with its word, and trained."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from builders.family_files import SUPERCLASS, WORD, family_of, install, write_concepts
from builders.family_templates import SOUND, Template, pruned, small
from builders.inputs import write_film, write_holed, write_sound
from builders.server import Server, WorkflowError
from builders.splicing import drawing, model_loaders, relinked, training, with_prompt
from builders.ui_workflows import nodes_of
from builders.workflows import Workflow, training_pictures

UNOFFICIAL = {
    "cosmos2": {
        "diffusion_models/cosmos_predict2_2B_t2i.safetensors": "diffusion_models/cosmos2",
        "text_encoders/oldt5_xxl.safetensors": "text_encoders/t5xxl_old",
        "vae/wan_2.1_vae.safetensors": "vae/wan21",
    },
    "hunyuan_dit": {"checkpoints/hunyuan_dit_1.2.safetensors": "checkpoints/hunyuan_dit"},
}
"""Kind of network without an official template -> files of the one that stands for it."""
NO_TEMPLATE = "(no official template; a plain KSampler)"
LEARNED = ("anima", "cosmos2")
"""Families that learn a word unless told otherwise, and so need text statistics."""

SECOND = ("AnimaLLLiteApply", "ControlNetApplyAdvanced", "ControlNetInpaintingAliMamaApply", "StyleModelApply")
SECOND += ("QwenImageDiffsynthControlnet", "USOStyleReference")
"""Nodes by which a second network acts."""
FOLLOWED = ("control_video", "pose_video")
"""Inputs of nodes that let a model follow a film, and need not."""
ANOTHER_SOUND = "another sound.wav"


@dataclass(frozen=True)
class Case:
    """A workflow in API form, and what it loads."""

    name: str
    kinds: list[str]
    graph: dict[str, dict]
    forms: tuple[str, ...] = ("whole",)
    """How the weights of its networks lie in their files."""

    @classmethod
    def of(cls, template: Template, server: Server) -> Case:
        return cls(template.name, template.kinds, small(template, server), template.forms)

    @property
    def family(self) -> str:
        return family_of(self.kinds[0])

    @property
    def file(self) -> str:
        return f"{self.kinds[0]}.safetensors"


def unofficial(kind: str) -> Case:
    """Load, encode, sample, decode: the official templates have none of this kind of network."""
    graph, files = Workflow(), [path.split("/")[1] for path in UNOFFICIAL[kind]]
    if len(files) == 1:
        loaded = graph.add("CheckpointLoaderSimple", ckpt_name=files[0])
        model, clip, vae = loaded[0], loaded[1], loaded[2]
    else:
        model = graph.add("UNETLoader", unet_name=files[0], weight_dtype="default")[0]
        clip = graph.add("CLIPLoader", clip_name=files[1], type="cosmos")[0]
        vae = graph.add("VAELoader", vae_name=files[2])[0]
    prompts = {
        name: graph.add("CLIPTextEncode", clip=clip, text=words)[0]
        for name, words in (("positive", "at sea"), ("negative", ""))
    }
    latent = graph.add("EmptySD3LatentImage", width=64, height=64, batch_size=1)
    settings = {"seed": 5, "steps": 2, "cfg": 4.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    sampled = graph.add("KSampler", model=model, latent_image=latent[0], **prompts, **settings)
    graph.add("PreviewImage", images=graph.add("VAEDecode", samples=sampled[0], vae=vae)[0])
    return Case(NO_TEMPLATE, [kind], dict(graph))


def prepare(folder: Path, chosen: list[Template], kinds: list[str], comfyui: Path) -> None:
    """Files of templates and of unofficial ``kinds``, concepts, and what they start from, in a host's folder."""
    wanted = [template.files() for template in chosen] + [UNOFFICIAL[kind] for kind in kinds]
    install(folder, {path: name for files in wanted for path, name in files.items()}, comfyui)
    write_concepts(folder, {*kinds, *(template.kinds[0] for template in chosen)}, comfyui)
    inputs = folder / "input"
    inputs.mkdir()
    first, *_ = training_pictures(folder)
    write_holed(inputs / first, {inputs / name for template in chosen for name in template.pictures})
    for template in chosen:
        for name in template.films:
            write_film(inputs / name)
        for name in template.sounds:
            write_sound(inputs / name)
            write_sound(inputs / ANOTHER_SOUND, rise=-40)


class Trial:
    """Workflows on one server."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def picture(self, graph: dict[str, dict]) -> np.ndarray:
        """What the previews show, as integers, one after another."""
        result = self.server.run(graph)
        shown = [self.server.pictures(result, name).ravel() for name in sorted(nodes_of(graph, "PreviewImage"))]
        return np.concatenate(shown).astype(int)

    def drawn(self, case: Case) -> dict[str, Any]:
        """What Load and Apply change: nothing without the word or at strength 0, the picture with it.

        Where a workflow has two models, each of them by itself must change it.
        """
        plain = self.picture(with_prompt(case.graph, SUPERCLASS))
        self._check_second(case, plain)
        without = self.picture(drawing(case.graph, case.file, SUPERCLASS))
        named = self.picture(drawing(case.graph, case.file))
        off = self.picture(drawing(case.graph, case.file, WORD, 0.0))
        changes = [distance(named, plain)]
        if len(model_loaders(case.graph)) > 1:
            parts = [self.picture(drawing(case.graph, case.file, WORD, *at)) for at in ((1.0, 0.0), (0.0, 1.0))]
            changes += [distance(part, other) for part in parts for other in (plain, named)]
        return {
            "unchanged without the word": bool(np.array_equal(without, plain)),
            "changed by it": min(changes),
            "unchanged at strength 0": bool(np.array_equal(off, plain)),
        }

    def _check_second(self, case: Case, plain: np.ndarray) -> None:
        """Raise WorkflowError if a second network, a film or a sound changes nothing: nothing would be tried beside it.
        """
        found = [name for kind in (*SECOND, SOUND) for name in nodes_of(case.graph, kind)]
        found += [name for name, node in case.graph.items() if {*FOLLOWED} & {*node["inputs"]}]
        if found and np.array_equal(self.picture(with_prompt(without_second(case.graph, found), SUPERCLASS)), plain):
            raise WorkflowError(found[0], "its network, film or sound changes nothing in the picture")

    def trained(self, case: Case, picture: str) -> dict[str, Any]:
        """What a concept of two steps changes that Train hands to Apply in the same workflow."""
        plain = self.picture(with_prompt(case.graph, SUPERCLASS))
        statistics = case.family in LEARNED
        named, without = (
            self.picture(training(case.graph, picture, subject, statistics)) for subject in (WORD, SUPERCLASS)
        )
        return {
            "unchanged without the word": bool(np.array_equal(without, plain)),
            "changed by it": distance(named, plain),
        }


def without_second(graph: dict[str, dict], names: list[str]) -> dict[str, dict]:
    """The workflow with ``names`` at strength 0, without films and with another sound, or gone where they have none."""
    graph = copy.deepcopy(graph)
    for name in names:
        inputs = graph[name]["inputs"]
        followed = [key for key in FOLLOWED if key in inputs]
        for key in followed:
            del inputs[key]
        if graph[name]["class_type"] == SOUND:
            inputs["audio"] = ANOTHER_SOUND
        elif "strength" in inputs and not followed:
            inputs["strength"] = 0.0
        elif not followed:
            graph = relinked(graph, {(name, 0): inputs["model"]})
    return pruned(graph)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference, in grey levels."""
    return float(np.abs(a - b).mean())


def good(row: dict[str, Any]) -> bool:
    """Whether a workflow with the concept draws it, and nothing else."""
    kept = [value for name, value in row.items() if name.startswith("unchanged")]
    return all(kept) and row["changed by it"] > 0
