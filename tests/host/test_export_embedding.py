"""Export Perfusion Word on the real server: the embedding reads as the concept's word does, to the bit."""

from __future__ import annotations

import dataclasses
import importlib

import numpy as np
import pytest
from safetensors.torch import load_file

from builders.places import PACK
from builders.workflows import Workflow, apply, encode, load, mean_difference, sample, show


def export(graph, clip, file: str, name: str):
    concept = graph.add("PerfusionLoadConcept", concept=file)[0]
    graph.add("PerfusionExportEmbedding", concept=concept, clip=clip, filename=name, overwrite=True)


def test_an_exported_word_reads_as_the_concepts_word(server):
    """The word would stand for something else in a prompt without this pack, or be found nowhere.

    The superclass has two tokens. The plain model draws both prompts: the word alone, without the values.
    """
    graph = Workflow()
    export(graph, load(graph)[1], "mug.safetensors", "words/mug")
    result = server.run(graph)
    (text,) = [shown["text"][0] for shown in result.outputs.values()]
    assert "embedding:words/mug" in text and result.texts() == [text], "it stands on the node"
    assert [event["text"] for event in result.events_of("perfusion.told")] == [text]
    vectors = load_file(server.folder / "output/embeddings/words/mug.safetensors")["emb_params"]
    assert vectors.shape == (2, 768)

    def drawn(word: str, applied: bool):
        graph = Workflow()
        model, clip, vae = load(graph)
        if applied:
            clip = apply(graph, model, clip, "mug.safetensors")[1]
        empty = encode(graph, load(graph)[1], "")
        node = show(graph, sample(graph, model, encode(graph, clip, f"a photo of a {word}"), empty), vae)
        return server.pictures(server.run(graph), node)

    exported = drawn("embedding:words/mug", False)
    np.testing.assert_array_equal(exported, drawn("mug_m", True))
    assert mean_difference(exported, drawn("coffee cup", False)) > 0


@pytest.mark.parametrize("family, names", [("sdxl", {"clip_l", "clip_g"}), ("sd2", {"emb_params"})])
def test_the_host_finds_each_encoders_vectors(pack, monkeypatch, tmp_path, pack_concept, family, names):
    """With SDXL's two encoders one of them would read the other's vectors, or none."""
    from comfy.sd1_clip import load_embed

    concept = pack_concept("rex", "dog", 3, family)
    for name in ("clip_with_concept", "text_encoder", "vocabulary"):
        monkeypatch.setattr(pack.embeddings, name, lambda *_: _Anything())
    monkeypatch.setattr(pack.embeddings, "superclass_tokens", lambda *_: [7])
    pack.embeddings.write_embedding(concept, None, tmp_path / "rex.safetensors")
    assert set(load_file(tmp_path / "rex.safetensors")) == names
    for encoder, vector in concept.word_embeddings.items():
        found = load_embed("rex", [str(tmp_path)], len(vector), f"clip_{encoder}")
        np.testing.assert_array_equal(found.numpy(), vector[None].numpy())


OTHERS = [("anima", "Anima"), ("wan21", "Wan 2.1"), ("pixart_sigma", "PixArt"), ("new", "'new'")]


@pytest.mark.parametrize("family, title", OTHERS)
def test_a_word_that_is_no_embedding_is_refused(pack, monkeypatch, tmp_path, pack_concept, family, title):
    """A user would keep a file that changes no prompt of its model, and believe the word to be in it."""
    node = importlib.import_module(f"{PACK}.nodes.export_embedding").PerfusionExportEmbedding
    monkeypatch.setattr(pack.folders, "embeddings_folder", lambda: tmp_path)
    concept = dataclasses.replace(pack_concept("rex", "dog"), base_family=family)
    with pytest.raises(ValueError, match=f"was trained for {title}.*Export takes concepts of SD 1.x, SD 2.x, SDXL;"):
        node.execute(concept, None, "rex", False)
    assert list(tmp_path.iterdir()) == []


class _Anything:
    """An encoder whose embeddings nobody reads, as the superclass is one token."""

    transformer = weight = property(lambda self: self)

    def get_input_embeddings(self):
        return self
