"""Perfusion Sweep and Evaluate Perfusion Concept in a workflow, small and short."""

from __future__ import annotations

from builders.workflows import Node, Output, Workflow, apply, encode, load, sample

SAMPLER = {"seed": 5, "steps": 2, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
DIALS = {"bias": -0.5, "temperature": 0.15, "visual_strength": 1.0, "key_locking": "local"}
SWEEP_PROMPTS = ("a photo of a {} on a beach", "a {} in the snow")
EVALUATE_PROMPT = "a photo of a {} on a beach"
USERS, PLAIN = ["1.000", "0.000"], ["0.000", "1.000"]
"""Identity and agreement of the user's own pictures, and of the plain model's: how both scales are defined."""
Loaded = tuple[Output, Output, Output]


def sweep(graph: Workflow, loaded: Loaded, concept: Output, **settings) -> Node:
    """Perfusion Sweep over two biases and two strengths."""
    inputs = {
        "prompts": "\n".join(SWEEP_PROMPTS),
        "negative": "",
        "columns": "bias",
        "column_values": "-0.5, 0.6",
        "rows": "visual_strength",
        "row_values": "1, 0",
        **SAMPLER,
        **DIALS,
        **settings,
    }
    return graph.add("PerfusionSweep", **_wires(graph, loaded, concept), **inputs)


def evaluate(graph: Workflow, loaded: Loaded, concept: Output, **settings) -> Node:
    """Evaluate Perfusion Concept on one prompt."""
    inputs = {"kind": "object", "prompts": EVALUATE_PROMPT, "negative": "", **SAMPLER, **DIALS, **settings}
    return graph.add("PerfusionEvaluate", **_wires(graph, loaded, concept), **inputs)


def _wires(graph: Workflow, loaded: Loaded, concept: Output) -> dict[str, Output]:
    model, clip, vae = loaded
    latent = graph.add("EmptyLatentImage", width=64, height=64, batch_size=1)[0]
    return {"model": model, "clip": clip, "vae": vae, "concept": concept, "latent_image": latent}


def scored_by_vision(server, node, family: str = "sd1", beside: str = "", **settings) -> tuple[list[list[str]], str]:
    """Rows of the table (all but the header), and the whole text, with ``clip_vision/narrow.safetensors`` as the judge.

    The user's picture is what the concept draws. ``beside`` names the subject for another method, the plain model.
    """
    graph = Workflow()
    loaded = load(graph, family)
    file = "teddy.safetensors" if family == "sd1" else f"{family}_teddy.safetensors"
    model, clip = apply(graph, *loaded[:2], file)
    text = encode(graph, clip, EVALUATE_PROMPT.replace("{}", "teddy_t"))
    latent = sample(graph, model, text, encode(graph, loaded[1], ""), size=64)
    wires = {"images": graph.add("VAEDecode", samples=latent, vae=loaded[2])[0]}
    wires["clip_vision"] = graph.add("CLIPVisionLoader", clip_name="narrow.safetensors")[0]
    if beside:
        wires |= {"other_model": loaded[0], "other_clip": loaded[1], "other_word": beside}
    concept = graph.add("PerfusionLoadConcept", concept=file)[0]
    made = node(graph, loaded, concept, prompts=EVALUATE_PROMPT, **wires, **settings)
    table = graph.add("PreviewAny", source=made[3 if node is sweep else 2]).name
    said = server.run(graph).outputs[table]["text"][0]
    rows = [line for line in said.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows], said
