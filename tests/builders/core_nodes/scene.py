"""A workflow with one row of the core in it, with or without a concept."""

from __future__ import annotations

from collections.abc import Callable

from builders.core_nodes.adapters import CONTROLNET, LORA
from builders.core_nodes.inventory import NoSource, Row, inputs, kind_of, widget_value
from builders.workflows import Output, Workflow, apply, encode, load, sample, show

CONCEPT = "teddy.safetensors"
NAMED, PLAIN = "a photo of a teddy_t", "a photo of a bear"

SOURCES: dict[str, Callable[[Workflow], Output]] = {
    "IMAGE": lambda graph: graph.add("EmptyImage", width=64, height=64, batch_size=1, color=0x4080C0)[0],
    "MASK": lambda graph: graph.add("SolidMask", value=1.0, width=64, height=64)[0],
    "LATENT": lambda graph: graph.add("EmptyLatentImage", width=64, height=64, batch_size=1)[0],
    "CONTROL_NET": lambda graph: graph.add("ControlNetLoader", control_net_name=CONTROLNET)[0],
    "HOOKS": lambda graph: graph.add("CreateHookLoraModelOnly", lora_name=LORA, strength_model=1.0)[0],
    "HOOK_KEYFRAMES": lambda graph: graph.add("CreateHookKeyframe", strength_mult=0.5, start_percent=0.5)[0],
    "LATENT_OPERATION": lambda graph: graph.add("LatentOperationTonemapReinhard", multiplier=1.0)[0],
    "TIMESTEPS_RANGE": lambda graph: graph.add("ConditioningTimestepsRange", start_percent=0.0, end_percent=1.0)[0],
}
"""Type -> how a connected input of it comes about. MODEL, CLIP, CONDITIONING and VAE are the workflow's own."""


class Scene:
    """One branch of ``graph``: a checkpoint, the row, the concept at ``strength`` (None: none of our nodes)."""

    def __init__(self, graph: Workflow, info: dict[str, dict], text: str) -> None:
        self.graph, self.info, self.text = graph, info, text
        self.model, self.clip, self.vae = load(graph)
        self.positive: Output | None = None
        self.negative: Output | None = None

    def apply(self, strength: float) -> None:
        self.model, self.clip = apply(self.graph, self.model, self.clip, CONCEPT, visual_strength=strength)

    def pass_through(self, name: str) -> None:
        """Put the node between what there is and what follows. Raises NoSource for an input that cannot be filled."""
        node = self.info[name]
        placed = self.graph.add(name, **self.filled(name))
        kinds = list(node["output"])
        if "MODEL" in kinds:
            self.model = placed[kinds.index("MODEL")]
        if "CLIP" in kinds:
            self.clip = placed[kinds.index("CLIP")]
        prompts = [index for index, kind in enumerate(kinds) if kind == "CONDITIONING"]
        if prompts:
            self.positive = placed[prompts[0]]
        if len(prompts) > 1:
            self.negative = placed[prompts[1]]

    def filled(self, name: str) -> dict:
        """All required inputs of a node, and the optional ones that widgets or the workflow itself can fill."""
        node = self.info[name]
        values = {key: self._value(node, key, spec) for key, spec in inputs(node, ("required",))}
        for key, specification in inputs(node, ("optional",)):
            try:
                values[key] = self._value(node, key, specification)
            except NoSource:
                continue
        return values

    def _value(self, node: dict, name: str, specification: list):
        kind = kind_of(specification)
        if kind == "CONDITIONING":
            return encode(self.graph, self.clip, "" if "negative" in name or "empty" in name else self.text)
        if kind in ("MODEL", "CLIP", "VAE"):
            return {"MODEL": self.model, "CLIP": self.clip, "VAE": self.vae}[kind]
        if kind in SOURCES:
            return SOURCES[kind](self.graph)
        return widget_value(node, name, specification, self.text)

    def finish(self, row: Row, again: int) -> str:
        """Sample and show; the preview node's id. A new ``again`` makes the host sample what it has cached."""
        if row.kind == "guider":
            latent = self._guided(row.name, again)
        else:
            positive = self.positive or encode(self.graph, self.clip, self.text)
            negative = self.negative or encode(self.graph, self.clip, "")
            settings = {"sampler_name": row.name} if row.kind == "sampler" else {}
            latent = sample(self.graph, self.model, positive, negative, again=again, **settings)
        return show(self.graph, latent, self.vae)

    def _guided(self, name: str, again: int) -> Output:
        add = self.graph.add
        parts = {
            "guider": add(name, **self.filled(name))[0],
            "noise": add("RandomNoise", noise_seed=5)[0],
            "sampler": add("KSamplerSelect", sampler_name="euler")[0],
            "sigmas": add("BasicScheduler", model=self.model, scheduler="normal", steps=2, denoise=1.0)[0],
            "latent_image": SOURCES["LATENT"](self.graph),
        }
        return add("SamplerCustomAdvanced", **parts, again=again)[0]


def branch(
    graph: Workflow, info: dict[str, dict], row: Row, place: str, text: str, strength: float | None, again: int = 0
) -> str:
    """Add one picture of ``text`` to ``graph``; its preview node. Without a concept ``place`` says nothing."""
    scene = Scene(graph, info, text)
    if row.kind == "node" and place == "before":
        scene.pass_through(row.name)
    if strength is not None:
        scene.apply(strength)
    if row.kind == "node" and place == "after":
        scene.pass_through(row.name)
    return scene.finish(row, again)
