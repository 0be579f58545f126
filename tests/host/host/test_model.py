"""Concepts in the host's U-Net, in this process: against the host-free path, by halves, and by their sentences."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from perfusion_ops.edit.injection import inject

LATENT = (1, 4, 8, 8)


@pytest.fixture(scope="module")
def sampled(pack, loaded):
    """``sampled(model, clip, prompt)``: one Euler step's latent, and the call's raw prediction."""
    import comfy.sample

    def run(model, clip, prompt: str, cfg: float = 1.0) -> torch.Tensor:
        positive, negative = (clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in (prompt, "blurry"))
        noise = torch.randn(LATENT, generator=torch.Generator().manual_seed(1))
        empty = torch.zeros(LATENT)
        settings = {"denoise": 1.0, "seed": 1, "disable_pbar": True}
        return comfy.sample.sample(model, noise, 1, cfg, "euler", "normal", positive, negative, empty, **settings)

    return run


@pytest.fixture(scope="module")
def applied(pack, loaded, pack_concept):
    """``applied(key_locking, ...)``: model and CLIP with the concept ``teddy_t``, and its term."""

    def make(locking: str = "local", strength: float = 1.0):
        key_locking = pack.ops.KeyLocking(locking)
        term = pack.ops.EditTerm(pack_concept("teddy_t", "bear", 1), pack.ops.Gate(-0.5, 0.15), strength, key_locking)
        model = pack.model.model_with_concept(loaded[0], pack.model.AppliedConcept(term))
        return model, pack.clip.clip_with_concept(loaded[1], term.concept, strength, key_locking), term

    return make


@pytest.mark.parametrize("locking", ["local", "exact", "global_gated", "global_pure", "off"])
def test_the_host_draws_what_the_edit_draws_without_it(pack, loaded, applied, sampled, locking):
    """The same U-Net with perfusion_ops' own hooks, on contexts computed by hand: equal to the bit."""
    model, clip, term = applied(locking)
    edit = pack.ops.JointEdit.of([term])
    prompt = clip.encode_from_tokens(clip.tokenize("a photo of a teddy_t"))
    encodings = pack.encoded_prompt.plain(prompt)
    keep = torch.zeros(1, 77, dtype=torch.bool)
    keep[0, 0] = True
    place = {"device": model.load_device, "dtype": pack.model.inference_dtype(model.model)}
    computed = edit.to(encodings.device, torch.float32).contexts(
        encodings, prompt.superclass, keep=keep.to(encodings.device)
    )
    context = replace(computed, **{part: tensor.to(**place) for part, tensor in vars(computed).items()})
    assert clip.cond_stage_model is loaded[1].cond_stage_model
    with torch.inference_mode(), inject(pack.family.projections(model)) as injected:
        injected.use(context, edit.to(**place).value_residuals)
        plain_prompt = [[encodings, {"pooled_output": None}]]
        by_hand = sampled(loaded[0], _Ready(plain_prompt), "")
    with torch.inference_mode():
        by_host = sampled(model, clip, "a photo of a teddy_t")
        untouched = sampled(loaded[0], _Ready(plain_prompt), "")
    assert torch.equal(by_host, by_hand)
    assert not torch.equal(by_host, untouched)


class _Ready:
    """A CLIP whose every prompt is encoded already."""

    def __init__(self, conditioning) -> None:
        self.conditioning = conditioning

    def tokenize(self, _text):
        return None

    def encode_from_tokens_scheduled(self, _tokens):
        return self.conditioning


def test_nothing_stays_on_the_shared_modules(loaded, applied, sampled):
    """A concept leaves nothing on the checkpoint that another branch of the workflow draws with."""
    model, clip, _ = applied()
    sampled(model, clip, "a photo of a teddy_t")
    for module in loaded[0].model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
    assert "perfusion" not in loaded[0].model_options["transformer_options"]


def test_a_model_loaded_by_halves_draws_the_same(pack, loaded, applied, sampled):
    """As --lowvram loads it: most weights stay aside and are cast at every call."""
    model, clip, _ = applied()
    whole = sampled(model, clip, "a photo of a teddy_t")
    model.unpatch_model(model.offload_device)
    model.partially_load(model.load_device, 1_000_000)
    lowvram = [module for module in model.model.modules() if getattr(module, "comfy_cast_weights", False)]
    half = sampled(model, clip, "a photo of a teddy_t")
    assert lowvram
    assert torch.equal(half, whole)


def test_a_chain_of_clones_neither_changes_nor_forgets(pack, loaded, applied):
    """Each Apply of a chain adds its concept and leaves the model before it as it was."""
    model, _, term = applied()
    clone = model.clone()
    key = pack.model.KEY
    assert clone.model_options["transformer_options"][key] is model.model_options["transformer_options"][key]
    other = pack.model.AppliedConcept(pack.ops.EditTerm(_renamed(pack, term.concept, "another"), term.gate))
    both = pack.model.model_with_concept(clone, other)
    assert both.model_options["transformer_options"][key].edit.words == ("another", "teddy_t")
    assert model.model_options["transformer_options"][key].edit.words == ("teddy_t",)
    wrappers = both.wrappers["outer_sample"][key]
    assert wrappers == [pack.model.edit_prompts]


def _renamed(pack, concept, word: str, **changes):
    return pack.ops.Concept(**{**vars(concept), "word": word, **changes})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"base_family": "sdxl"}, "was trained for SDXL, and this model is SD 1.x. Load a checkpoint of SDXL"),
        ({"value_residuals": {"middle_block.1.transformer_blocks.0.attn2": torch.ones(7)}}, "1 attention layers"),
        ({"word": "teddy_t"}, "'teddy_t' is applied twice to one model; apply it once"),
        ({"value_residuals": "later half"}, r"\d attention layers of context width 768, and this SD 1.x model has \d"),
    ],
)
def test_a_concept_that_does_not_fit_is_refused_with_a_sentence(pack, applied, changes, sentence):
    """A concept for another model is refused with what to load or retrain. A learned word has all layers."""
    model, _, term = applied()
    changes = dict(changes)
    if changes.get("value_residuals") == "later half":
        layers = term.concept.value_residuals.items()
        widths = pack.family.family_of(model).value_widths(model.model.diffusion_model)
        later = pack.ops.EditedLayers.LATER_HALF.among(widths)
        changes["value_residuals"] = {name: residual for name, residual in layers if name in later}
    concept = _renamed(pack, term.concept, changes.pop("word", "other"), **changes)
    with pytest.raises(ValueError, match=sentence):
        pack.model.model_with_concept(model, pack.model.AppliedConcept(pack.ops.EditTerm(concept)))


def test_global_locking_takes_a_prompt_that_another_locking_encoded(applied, sampled):
    """Two Apply nodes may share one encode node: every prompt brings its superclass prompt along."""
    model, clip, _ = applied("global_pure")
    _, local_clip, _ = applied("local")
    assert torch.equal(sampled(model, local_clip, "a photo of a teddy_t"), sampled(model, clip, "a photo of a teddy_t"))
