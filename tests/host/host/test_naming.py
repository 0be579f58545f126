"""Nothing is ever silently without effect: the Apply node and the log say it, once a run, and take it back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builders.server import CLEARED
from builders.workflows import Workflow, apply, encode, load, random_concept, sample, show
from perfusion_ops import Concept
from perfusion_ops.concept.file import save_concept

TEDDY = "teddy.safetensors"


class Run:
    """One workflow with the concept ``teddy_t`` applied; ``lines`` of the Apply node and what was logged."""

    def __init__(self, server, **settings) -> None:
        self.server, self.graph = server, Workflow()
        self.model, self.clip, self.vae = load(self.graph)
        self.edited, self.known = apply(self.graph, self.model, self.clip, TEDDY, **settings)

    def draw(self, model, positive, **settings) -> tuple[list[str], str]:
        negative = encode(self.graph, self.clip, "blurry")
        show(self.graph, sample(self.graph, model, positive, negative, **settings), self.vae)
        logged = len(self.server.log_text())
        self.said = self.server.run(self.graph).texts()
        # An empty line takes back what an earlier workflow's node of the same number said.
        lines = [line for line in self.said if line.strip()]
        return lines, self.server.log_text()[logged:]


def test_a_concept_that_works_is_not_spoken_of(server):
    """No warning is shown where nothing is wrong."""
    run = Run(server)
    lines, log = run.draw(run.edited, encode(run.graph, run.known, "a teddy_t"))
    assert lines == [] and "Perfusion:" not in log


def test_a_word_that_no_prompt_names_is_told(server):
    """Who misspells the word, or wires the loader's CLIP to the encode node, learns it from the Apply node."""
    for clip in ("known", "clip"):
        run = Run(server, bias=0.61 if clip == "known" else 0.62)
        text = "a bear" if clip == "known" else "a teddy_t"
        lines, log = run.draw(run.edited, encode(run.graph, getattr(run, clip), text))
        (line,) = lines
        assert "'teddy_t' has no effect: no prompt encoded with this node's CLIP output names it" in line
        assert log.count(line) == 1


def test_a_prompt_that_lost_its_mark_is_told(server):
    """Who uses a node that makes encodings of its own learns that the concept has no effect, and what to do."""
    run = Run(server, bias=0.63)
    prompt = run.graph.add("HelperForgetfulEncode", clip=run.known, text="a teddy_t")[0]
    (line,), log = run.draw(run.edited, prompt)
    assert "none of this sampler's prompts names it" in line and "use CLIP Text Encode" in line
    assert log.count(line) == 1


def test_a_word_that_was_taken_out_of_the_prompt_is_told(server):
    """Who edits the prompt and loses the word is told to write it, not to look for a wire."""
    for text in ("a teddy_t", "a bear"):
        run = Run(server, bias=0.66)
        lines, _log = run.draw(run.edited, encode(run.graph, run.known, text))
    assert "none of this sampler's prompts names it. Write 'teddy_t' in the prompt" in lines[-1]


def test_a_model_without_the_concept_is_told_of(server):
    """Who forgets to wire the MODEL output learns it, though none of the pack's code runs in that model."""
    run = Run(server, bias=0.64)
    (line,), log = run.draw(run.model, encode(run.graph, run.known, "a teddy_t"))
    assert "a model that does not have it reads that prompt" in line and log.count(line) == 1


@pytest.mark.parametrize(
    ("settings", "sampling", "sentence"),
    [
        ({"visual_strength": 0.0}, {}, "visual_strength is 0, so 'teddy_t' draws exactly 'bear'"),
        ({"start_percent": 0.8, "end_percent": 0.2}, {}, "so the concept never takes effect"),
        ({"end_percent": 0.3}, {"denoise": 0.3}, "no step of this sampler lies between its start_percent and"),
    ],
)
def test_settings_without_effect_are_told(server, settings, sampling, sentence):
    """A strength of 0 and a schedule that never opens are not mistaken for a concept that was learned badly."""
    run = Run(server, **settings)
    lines, log = run.draw(run.edited, encode(run.graph, run.known, "a teddy_t"), **sampling)
    assert any(sentence in line for line in lines) and log.count(sentence) == 1


def test_a_black_region_is_told(server):
    """Who connects an empty mask learns why the look is missing."""
    run = Run(server)
    black = run.graph.add("SolidMask", value=0.0, width=64, height=64)[0]
    edited, known = apply(run.graph, run.model, run.clip, TEDDY, region=black)
    lines, log = run.draw(edited, encode(run.graph, known, "a teddy_t"))
    assert any("The region is all black" in line for line in lines) and log.count("The region is all black") == 1


def test_what_was_told_is_taken_back_when_the_concept_works_later_in_the_run(server):
    """A first sampler without the word is no fault where a second one names it."""
    run = Run(server, bias=0.65)
    positive, negative = encode(run.graph, run.known, "a bear"), encode(run.graph, run.clip, "")
    show(run.graph, sample(run.graph, run.edited, positive, negative, seed=3), run.vae)
    lines, _log = run.draw(run.edited, encode(run.graph, run.known, "a teddy_t"))
    assert all("names it" in line for line in lines) and (not lines or run.said[-1] == CLEARED)


def test_a_word_in_a_negative_prompt_that_no_sampler_reads_is_told(server):
    """With a cfg of 1, as distilled models have it, the negative prompt is left out, and the concept in it."""
    for cfg in (1.0, 4.0):
        run = Run(server, bias=0.67)
        positive, negative = encode(run.graph, run.clip, "a bear"), encode(run.graph, run.known, "a teddy_t")
        show(run.graph, sample(run.graph, run.edited, positive, negative, cfg=cfg), run.vae)
        warned = [event["text"] for event in server.run(run.graph).events_of("perfusion.warning")]
        said = ["only the negative prompt names it, and with a cfg of 1" in text for text in warned]
        assert said == ([True] if cfg == 1 else [])


@pytest.mark.parametrize(
    ("off", "sentence"),
    [
        ("region", "The region is all black, so the concept has no effect. Paint where it may appear white."),
        ("strength", "visual_strength is 0, so 'teddy_t' draws exactly 'bear'."),
    ],
)
def test_a_concept_without_effect_is_told_again_when_only_the_seed_changes(server, off, sentence):
    """ComfyUI does not run Apply again then, and newer frontends have cleared its line."""
    for seed in (5, 6):
        run = Run(server)
        black = run.graph.add("SolidMask", value=0.0, width=64, height=64)[0]
        how = {"region": black} if off == "region" else {"visual_strength": 0.0}
        edited, known = apply(run.graph, run.model, run.clip, TEDDY, bias=0.68, **how)
        text = encode(run.graph, known, "a teddy_t")
        lines, log = run.draw(edited, text, seed=seed)
        assert lines == [sentence] and log.count(sentence) == 1, "once a run"


def other_concepts(server) -> None:
    """``strange``, trained with another text encoder, and ``placed``, with a position gate."""
    concept = random_concept("teddy_t", "bear", 1)
    folder = server.folder / "models/perfusion"
    save_concept(replace(concept, metadata={"encoder": "0123456789abcdef"}), folder / "strange.safetensors")
    parts = {"word": "teddy_t", "superclass": "bear", "base_family": "sd1", "gate": "position"}
    save_concept(Concept(**parts, value_residuals=concept.value_residuals), folder / "placed.safetensors")


@pytest.mark.parametrize(
    ("file", "dials", "sentences"),
    [
        (TEDDY, {"visual_strength": 0.0}, ["visual_strength is 0, so 'teddy_t' draws exactly 'bear'"]),
        (TEDDY, {"start_percent": 0.8, "end_percent": 0.2}, ["so the concept never takes effect"]),
        ("strange.safetensors", {}, ["another text encoder than this CLIP's", "is encoded on layer -2 (clip skip)"]),
        ("placed.safetensors", {"key_locking": "global gated"}, ["so key_locking has no effect on it"]),
    ],
)
def test_what_apply_and_the_prompts_said_is_said_in_every_run_once(server, file, dials, sentences):
    """ComfyUI keeps what Apply and the encode node gave when only the seed changes, and says nothing for them."""
    other_concepts(server)
    for seeds in ((5,), (6,), (7, 8)):
        graph = Workflow()
        model, clip, vae = load(graph)
        edited, known = apply(graph, model, clip, file, **dials)
        skipped = graph.add("CLIPSetLastLayer", clip=known, stop_at_clip_layer=-2)[0]
        prompts = encode(graph, skipped, "a teddy_t"), encode(graph, clip, "blurry")
        for seed in seeds:
            show(graph, sample(graph, edited, *prompts, seed=seed), vae)
        logged = len(server.log_text())
        lines = [line for line in server.run(graph).texts() if line.strip()]
        for sentence in sentences:
            assert any(sentence in line for line in lines), f"seeds {seeds}"
            assert server.log_text()[logged:].count(sentence) == 1, f"seeds {seeds}"


def test_a_strength_of_0_leaves_the_model_as_it_is_but_for_its_words(server):
    """The picture is the superclass's to the bit, with the sentence or without."""
    pictures = []
    for strength in (0.0, None):
        graph = Workflow()
        model, clip, vae = load(graph)
        if strength is not None:
            model, clip = apply(graph, model, clip, TEDDY, visual_strength=strength)
        prompts = encode(graph, clip, "a bear" if strength is None else "a teddy_t"), encode(graph, clip, "blurry")
        node = show(graph, sample(graph, model, *prompts, seed=9), vae)
        pictures.append(server.pictures(server.run(graph), node))
    np.testing.assert_array_equal(*pictures)
