"""Apply says on its node what may spoil the likeness, and goes on."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from builders.workflows import Workflow, apply, encode, load, random_concept
from perfusion_ops.concept.file import save_concept

OTHER = "0123456789abcdef"
SENTENCE = "was trained with another text encoder than this CLIP's"


@pytest.fixture(scope="module")
def identity(pack, loaded):
    """The fingerprint of the test checkpoint's text encoder."""
    return pack.fingerprints.encoder_identity({"l": pack.clip.text_encoder(loaded[1], "l")})


@pytest.fixture
def encoded(server):
    """``encoded(title, encoder)``: lines shown on nodes, and what the server logged, while a concept was applied."""

    def run(title: str, encoder: str | None) -> tuple[list[str], str]:
        metadata = {"title": title, **({"encoder": encoder} if encoder else {})}
        path = server.folder / "models/perfusion/fingerprinted.safetensors"
        save_concept(replace(random_concept("rex", "dog", 5), metadata=metadata), path)
        graph = Workflow()
        model, clip, _ = load(graph)
        clip = apply(graph, model, clip, path.name)[1]
        graph.add("PreviewAny", source=encode(graph, clip, "a rex"))
        logged = len(server.log_text())
        return server.run(graph).texts(), server.log_text()[logged:]

    return run


def test_another_encoder_is_named_on_the_node_and_in_the_log_until_the_right_one_is_there(encoded, identity):
    lines, log = encoded("the right one", identity)
    assert lines == [] and SENTENCE not in log
    lines, log = encoded("another", OTHER)
    assert len(lines) == 1 and SENTENCE in lines[0] and OTHER in lines[0] and identity in lines[0]
    assert lines[0] in log
    lines, log = encoded("the right one again", identity)
    assert lines == [""] and SENTENCE not in log


def test_a_concept_without_a_fingerprint_is_taken_as_it_is(encoded):
    lines, log = encoded("nothing known", None)
    assert lines == [] and SENTENCE not in log


def test_the_fingerprint_is_the_same_in_half_precision_and_another_for_other_weights(pack, loaded, identity):
    encoder = copy.deepcopy(pack.clip.text_encoder(loaded[1], "l"))
    assert pack.fingerprints.encoder_identity({"l": encoder.half()}) == identity
    encoder.transformer.text_model.final_layer_norm.weight.data += 0.01
    assert pack.fingerprints.encoder_identity({"l": encoder}) != identity


def test_concepts_that_no_edit_can_tell_apart_are_named_on_the_second_ones_node(server):
    graph = Workflow()
    model, clip, _ = load(graph)
    for word in ("rex", "max"):
        path = server.folder / f"models/perfusion/alike_{word}.safetensors"
        save_concept(replace(random_concept("rex", "dog", 5), word=word), path)
        model, clip = apply(graph, model, clip, path.name)
    graph.add("PreviewAny", source=encode(graph, clip, "a rex and a max"))
    logged = len(server.log_text())
    (line,) = server.run(graph).texts()
    assert "'max' and 'rex' have nearly the same target input" in line
    assert line in server.log_text()[logged:]
