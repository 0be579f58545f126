"""The text encoders that training runs through: differentiable, and alike to what prompts are drawn with."""

from __future__ import annotations

import torch
from safetensors.torch import save_file


def test_the_gradient_reaches_the_word_through_the_host_text_encoder(pack, loaded):
    """The word is learned, and in the right direction. Against central differences in a random direction, in float64.
    The word is learned, and in the right direction. Against central differences in a random direction, in float64.
    """
    clip = loaded[1]
    encoders, device = pack.encoders.private_encoders(clip)
    encoder = pack.encoders.HostTextEncoder(clip, encoders, "teddy bear", device)
    start = encoder.initial_embeddings()["l"]
    templates = ["a photo of a {}", "the {}'s hat on a table"]
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(2, 77, 768, generator=generator).to(device)

    def value(embedding: torch.Tensor) -> torch.Tensor:
        return (probe * encoder.encode(templates, {"l": embedding}).encodings).sum()

    word = start.clone().requires_grad_()
    value(word).backward()
    direction = torch.randn(768, generator=generator).to(start)
    step = 1e-2
    difference = (value(start + step * direction) - value(start - step * direction)).detach() / (2 * step)
    assert torch.isclose(word.grad @ direction, difference, rtol=1e-2)
    assert word.grad.norm() > 0


def test_training_and_sampling_read_a_prompt_alike(pack, loaded, pack_concept):
    """A concept is drawn from the very encodings that it was trained on."""
    clip = loaded[1]
    encoders, device = pack.encoders.private_encoders(clip)
    encoder = pack.encoders.HostTextEncoder(clip, encoders, "teddy bear", device)
    concept = pack_concept("teddy_t", "teddy bear", 1)
    known = pack.clip.clip_with_concept(clip, concept, 1.0, pack.ops.KeyLocking.LOCAL)
    with torch.no_grad():
        encoded = encoder.encode(["a photo of a {}."], dict(concept.word_embeddings))
        superclass = encoder.encode(["a photo of a {}."], None)
    sampled = known.encode_from_tokens(known.tokenize("a photo of a teddy_t."))
    assert torch.allclose(encoded.encodings.cpu(), pack.encoded_prompt.plain(sampled).cpu(), atol=1e-4)
    plain = clip.encode_from_tokens(clip.tokenize("a photo of a teddy bear."))
    assert torch.allclose(superclass.encodings.cpu(), plain.cpu(), atol=1e-4)
    assert encoded.positions.tolist() == [6]
    skipping = clip.clone()
    skipping.clip_layer(-2)
    encoder = pack.encoders.HostTextEncoder(skipping, encoders, "teddy bear", device)
    with torch.no_grad():
        earlier = encoder.encode(["a photo of a {}."], None)
    read = skipping.encode_from_tokens(skipping.tokenize("a photo of a teddy bear."))
    assert torch.allclose(earlier.encodings.cpu(), read.cpu(), atol=1e-4), "with CLIP Set Last Layer too"
    assert (read - plain).abs().max() > 1e-2


def test_templates_and_captions_may_name_embeddings(pack, loaded, tmp_path, monkeypatch):
    """The host puts an embedding's vectors among the ids of a prompt: they are words, and compared with no id."""
    save_file({"emb_params": torch.randn(2, 768)}, tmp_path / "style.safetensors")
    clip = loaded[1]
    monkeypatch.setattr(pack.clip.tokenizer(clip, "l"), "embedding_directory", [str(tmp_path)])
    encoders, device = pack.encoders.private_encoders(clip)
    encoder = pack.encoders.HostTextEncoder(clip, encoders, "bear", device)
    templates = ["embedding:style a photo of a {}", "the {}"]
    with torch.no_grad():
        found, whole = encoder.superclass_encodings(templates), encoder.encode(templates, None)
        _, kinds = pack.encoders.encode_captions(clip, ["embedding:style a photo of a bear", "the bear"])
    assert torch.allclose(found, whole.concept_encodings(), atol=1e-4)
    assert whole.positions.tolist() == [7, 2]
    assert (kinds == pack.encoders.TokenKind.WORD).sum(1).tolist() == [7, 2]
    cut = pack.short_prompts.batches(clip, ["embedding:style a bear", "the bear"], 0, 2)
    assert [tokens for _, tokens in cut] == [6]


def test_the_superclass_is_encoded_without_the_padding_behind_the_templates(pack, loaded):
    """A training's first step waits for a few tokens of each template, and starts where it would by whole prompts."""
    encoders, device = pack.encoders.private_encoders(loaded[1])
    encoder = pack.encoders.HostTextEncoder(loaded[1], encoders, "teddy bear", device)
    templates = ["a photo of a {}", "the {}'s hat on a table"]
    lengths = []
    first = encoders["l"].transformer.text_model.encoder.layers[0]
    handle = first.register_forward_pre_hook(lambda _layer, args: lengths.append(args[0].shape[1]))
    with torch.no_grad():
        short = encoder.superclass_encodings(templates)
        whole = encoder.encode(templates, None).concept_encodings()
    handle.remove()
    assert lengths[0] < 16 and lengths[1] == 77
    torch.testing.assert_close(short, whole, rtol=1e-4, atol=1e-5)
