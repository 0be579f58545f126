"""Apply Key-Locked Attention on the real server: what its inputs do, what it warns of, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builders.scenes import PLAIN, PROMPT, TEDDY, Scene
from builders.server import CLEARED, WorkflowError
from builders.workflows import (
    Workflow,
    apply,
    encode,
    load,
    mean_difference,
    picture,
    random_concept,
    sample,
    show,
)
from perfusion_ops.concept.file import save_concept

OTHER = "0123456789abcdef"
SENTENCE = "was trained with another text encoder than this CLIP's"


@pytest.fixture
def encoded(server):
    """``encoded(title, encoder)``: lines shown on nodes, and what the server logged, while a concept was applied.

    With a ``layer``, CLIP Set Last Layer stands before Apply, or ``behind`` it.
    """

    def run(
        title: str, encoder: str | None, layer: int | None = None, behind: bool = False
    ) -> tuple[list[str], str]:
        metadata = {"title": title, **({"encoder": encoder} if encoder else {})}
        path = server.folder / "models/perfusion/fingerprinted.safetensors"
        save_concept(replace(random_concept("rex", "dog", 5), metadata=metadata), path)
        graph = Workflow()
        model, clip, _ = load(graph)
        if layer and not behind:
            clip = graph.add("CLIPSetLastLayer", clip=clip, stop_at_clip_layer=layer)[0]
        clip = apply(graph, model, clip, path.name)[1]
        if layer and behind:
            clip = graph.add("CLIPSetLastLayer", clip=clip, stop_at_clip_layer=layer)[0]
        graph.add("PreviewAny", source=encode(graph, clip, "a rex"))
        logged = len(server.log_text())
        return server.run(graph).texts(), server.log_text()[logged:]

    return run


def test_another_encoder_is_named_on_the_node_and_in_the_log_until_the_right_one_is_there(encoded, clip_identity):
    """Who connects another CLIP than the concept was trained with learns why the subject looks less like itself."""
    lines, log = encoded("the right one", clip_identity)
    assert set(lines) <= {CLEARED} and SENTENCE not in log
    lines, log = encoded("another", OTHER)
    assert len(lines) == 1 and SENTENCE in lines[0] and OTHER in lines[0] and clip_identity in lines[0]
    assert lines[0] in log
    lines, log = encoded("the right one again", clip_identity)
    assert lines == [CLEARED] and SENTENCE not in log


def test_a_concept_without_a_fingerprint_is_taken_as_it_is(encoded):
    """A concept that says nothing of its text encoder is drawn without a warning."""
    lines, log = encoded("nothing known", None, layer=-2)
    assert set(lines) <= {CLEARED} and SENTENCE not in log and "clip skip" not in log


@pytest.mark.parametrize("behind", [False, True])
def test_another_layer_of_the_text_encoder_is_named_wherever_it_is_chosen(encoded, clip_identity, behind):
    """Who draws with clip skip what was trained without learns why the subject looks less like itself."""
    (line, *others), log = encoded(f"skipped {behind}", clip_identity, layer=-2, behind=behind)
    assert "was trained on layer -1 of the text encoder, and a prompt that names it is encoded on layer -2" in line
    assert "Set stop_at_clip_layer of CLIP Set Last Layer to -1 for that prompt" in line
    assert not others and log.count(line) == 1
    lines, log = encoded(f"not skipped {behind}", clip_identity, layer=-1, behind=behind)
    assert set(lines) <= {CLEARED} and "clip skip" not in log


def test_concepts_that_no_edit_can_tell_apart_are_named_on_the_second_ones_node(server):
    """Who chains two concepts that are nearly the same learns which two will mix."""
    graph = Workflow()
    model, clip, _ = load(graph)
    for word in ("rex", "max"):
        path = server.folder / f"models/perfusion/alike_{word}.safetensors"
        save_concept(replace(random_concept("rex", "dog", 5), word=word), path)
        model, clip = apply(graph, model, clip, path.name)
    graph.add("PreviewAny", source=encode(graph, clip, "a rex and a max"))
    logged = len(server.log_text())
    result = server.run(graph)
    (line,) = result.texts()
    [event] = result.events_of("perfusion.warning")
    assert event["text"] == line and graph[event["node"]]["class_type"] == "PerfusionApplyKeyLockedAttention"
    assert "'max' and 'rex' have nearly the same target input" in line
    assert line in server.log_text()[logged:]


def test_a_region_keeps_the_look_inside(draw):
    """A region keeps the look inside its mask.

    With a mask of ones it is no region, to the bit; with zeros the word draws what it draws without its look.
    """

    def scene(value: float | None, strength: float = 1.0):
        scene = Scene(edited=True)
        settings = {"visual_strength": strength}
        if value is not None:
            settings["region"] = scene.graph.add("SolidMask", value=value, width=64, height=64)[0]
        scene.apply(**settings)
        return draw(*scene.finish())

    everywhere, nowhere = scene(1.0), scene(0.0)
    np.testing.assert_array_equal(everywhere, scene(None))
    assert mean_difference(nowhere, everywhere) > 1
    assert np.abs(nowhere.astype(int) - scene(None, strength=1e-6).astype(int)).max() <= 2


def test_a_concept_that_starts_after_the_end_has_no_look(draw):
    """``start_percent`` and ``end_percent`` give and take the look of the steps that they name."""
    whole = draw(*picture(PROMPT, [(TEDDY, {})]))
    never = draw(*picture(PROMPT, [(TEDDY, {"start_percent": 1.0})]))
    half = draw(*picture(PROMPT, [(TEDDY, {"end_percent": 0.5})]))
    assert mean_difference(whole, half) > 0, "of two sampling steps, the last one lacks the look"
    assert mean_difference(whole, never) > 0.5
    assert mean_difference(half, never) > 0.5


@pytest.mark.parametrize("key_locking", ["local", "global gated", "global pure", "exact", "off"])
def test_every_key_locking_draws_the_concept(draw, key_locking):
    """Every choice of ``key_locking`` draws the concept."""
    plain = draw(*picture(PLAIN))
    edited = draw(*picture(PROMPT, [(TEDDY, {"key_locking": key_locking})]))
    assert mean_difference(edited, plain) > 1


def test_the_chain_refuses_a_word_that_is_taken(server):
    """Two concepts of one word are refused by a sentence; one of them would never be drawn."""
    graph = Workflow()
    model, clip, vae = load(graph)
    for file in ("teddy.safetensors", "teddy.safetensors"):
        model, clip = apply(graph, model, clip, file)
    show(graph, sample(graph, model, encode(graph, clip, "a"), encode(graph, clip, "")), vae)
    with pytest.raises(WorkflowError, match="is applied twice to one model; apply it once"):
        server.run(graph)
