"""What a sampling run computes for its concepts: what a prompt needs once, and one small add per layer and step."""

from __future__ import annotations

import importlib
from collections import Counter
from functools import wraps

import torch

from builders.answers import answers_at, schedule_of
from builders.places import PACK

STEPS, WORDS, LATENT = 3, ("teddy_a", "teddy_b", "teddy_c"), (1, 4, 8, 8)
ONCE = {
    "similarities": ("perfusion_ops.edit.context", "similarities"),
    "gates": ("perfusion_ops.edit.context", "gate_strength"),
    "contexts": ("perfusion_ops.edit.joint", "edit_context"),
    "layers looked up": ("nodes.families.unet", "UNet.cross_attentions"),
}
PER_LAYER = {
    "context swaps": ("nodes.host.model_call", "CallEdit.swap_context"),
    "hooks on to_v": ("nodes.host.model_call", "CallEdit.value_output"),
    "adds": ("nodes.host.model_call", "add_value_delta"),
}


def counted(monkeypatch, watched: dict[str, tuple[str, str]]) -> Counter:
    """How often each of the pack's functions in ``watched`` is called from now on."""
    calls: Counter = Counter()

    def counting(what: str, function):
        @wraps(function)
        def call(*args, **kwargs):
            calls[what] += 1
            return function(*args, **kwargs)

        return call

    for what, (module, path) in watched.items():
        *owners, name = path.split(".")
        owner = importlib.import_module(f"{PACK}.{module}")
        for part in owners:
            owner = getattr(owner, part)
        monkeypatch.setattr(owner, name, counting(what, getattr(owner, name)))
    return calls


def test_gates_and_contexts_are_computed_once_per_prompt_and_adds_once_per_layer_and_step(
    pack, loaded, pack_concept, monkeypatch
):
    """Otherwise every concept in a prompt makes every step slower."""
    import comfy.sample

    model, clip = loaded
    for seed, word in enumerate(WORDS):
        concept = pack_concept(word, "bear", seed)
        term = pack.ops.EditTerm(concept, pack.ops.Gate(0.6, 0.15))
        model = pack.model.model_with_concept(model, pack.model.AppliedConcept(term))
        clip = pack.clip.clip_with_concept(clip, concept, 1.0, pack.ops.KeyLocking.LOCAL)
    prompts = (f"a photo of a {' and a '.join(WORDS)}", "blurry")
    positive, negative = (clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in prompts)
    noise, empty = torch.randn(LATENT, generator=torch.Generator().manual_seed(1)), torch.zeros(LATENT)
    layers = len(pack.family.projections(model))
    calls = counted(monkeypatch, ONCE | PER_LAYER)
    with torch.inference_mode():
        comfy.sample.sample(model, noise, STEPS, 5.0, "euler", "normal", positive, negative, empty, disable_pbar=True)
    assert {what: calls[what] for what in ONCE} == dict.fromkeys(ONCE, 1) | {"gates": len(WORDS)}
    assert {what: calls[what] for what in PER_LAYER} == dict.fromkeys(PER_LAYER, layers * STEPS)


def test_a_schedule_makes_a_context_for_each_of_its_biases_and_none_for_a_step(
    pack, loaded, pack_concept, monkeypatch
):
    """A bias that changes would make every step of a long sampling slower."""
    model, clip = loaded
    concept = pack_concept(WORDS[0], "bear", 0)
    schedule = schedule_of((0.0, 1.0, 0.2), (0.3, 0.5, 0.0), (0.6, 1.0, 0.2), (0.6, 1.0, 0.1))
    applied = pack.model.AppliedConcept(pack.ops.EditTerm(concept), schedule=schedule)
    model = pack.model.model_with_concept(model, applied)
    clip = pack.clip.clip_with_concept(clip, concept, 1.0, pack.ops.KeyLocking.LOCAL)
    conds = [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in (f"a {WORDS[0]}", "blurry")]
    calls = counted(monkeypatch, ONCE)
    answers_at(model, conds, LATENT, [0.01 + 0.1 * step for step in range(10)])
    assert calls["contexts"] == 3, "biases 0.2, 0 and 0.1 above"
    assert calls["layers looked up"] == 1
