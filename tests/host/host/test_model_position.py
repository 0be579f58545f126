"""Concepts with a position gate in the host's own model and CLIP: where they act, and that they act nowhere else."""

from __future__ import annotations

import pytest
import torch

LATENT = (2, 4, 8, 8)


def drawn(model, positive, negative=None, latent=LATENT) -> torch.Tensor:
    """Two Euler steps from fixed noise, of the host's own sampling."""
    import comfy.sample

    noise, empty = torch.randn(latent, generator=torch.Generator().manual_seed(1)), torch.zeros(latent)
    settings = {"denoise": 1.0, "seed": 1, "disable_pbar": True}
    negative = positive if negative is None else negative
    return comfy.sample.sample(model, noise, 2, 1.0, "euler", "normal", positive, negative, empty, **settings)


class Applied:
    """A model and a CLIP with concepts, as a chain of Apply nodes makes them."""

    def __init__(self, pack, loaded, concepts, strength: float = 1.0, **where) -> None:
        self.pack, (self.model, self.clip) = pack, loaded
        for concept in concepts:
            naming = pack.naming.Naming(concept.word)
            if strength:
                term = pack.ops.EditTerm(concept, pack.ops.Gate(), strength)
                applied = pack.model.AppliedConcept(term, naming=naming, **where)
                self.model = pack.model.model_with_concept(self.model, applied)
            locking = pack.ops.KeyLocking.LOCAL
            self.clip = pack.clip.clip_with_concept(self.clip, concept, strength, locking, naming)

    def prompt(self, *texts: str) -> torch.Tensor:
        return torch.cat([self.clip.encode_from_tokens(self.clip.tokenize(text)) for text in texts])

    def draw(self, *texts: str) -> torch.Tensor:
        return drawn(self.model, [[self.prompt(*texts), {}]])


@pytest.fixture(scope="module")
def position_concept(pack, pack_concept):
    """``position_concept(word, superclass, seed)``: random value residuals for the small SD 1.x checkpoint."""

    def make(word: str, superclass: str, seed: int = 1):
        whole = pack_concept(word, superclass, seed)
        parts = {"word": word, "superclass": superclass, "base_family": "sd1", "gate": "position"}
        return pack.ops.Concept(value_residuals=whole.value_residuals, **parts)

    return make


@pytest.fixture(scope="module")
def teddy(position_concept):
    return position_concept("teddy_t", "old teddy bear")


def test_the_residual_is_added_at_the_superclass_words_and_nowhere_else(pack, loaded, teddy):
    """The picture is the superclass prompt's with ``g r`` on the values of its words: the same by hand, to the bit."""
    applied = Applied(pack, loaded, [teddy])
    text = "a photo of a {} at sea"
    with_concept = applied.draw(text.format("teddy_t"), text.format("teddy_t"))
    plain = loaded[1].encode_from_tokens(loaded[1].tokenize(text.format("old teddy bear")))
    marks = torch.zeros(1, 77, 1)
    marks[0, 5:8] = 1
    gates = pack.ops.JointEdit.of([applied_term(applied)]).contexts(plain, marks=marks).gates.expand(2, -1, -1)
    by_hand = {}
    for name, (_, to_v) in pack.family.projections(loaded[0]).items():
        delta = gates @ teddy.value_residuals[name].unsqueeze(0)
        by_hand[name] = to_v.register_forward_hook(lambda _m, _a, values, delta=delta: values + delta.to(values))
    try:
        expected = drawn(loaded[0], [[plain.expand(2, -1, -1), {}]])
    finally:
        for handle in by_hand.values():
            handle.remove()
    # Some processors round a batch otherwise than its rows; the residual itself moves the picture by far more.
    torch.testing.assert_close(with_concept, expected, rtol=1e-4, atol=5e-4)
    assert (with_concept - drawn(loaded[0], [[plain.expand(2, -1, -1), {}]])).abs().max() > 0.01


def applied_term(applied: Applied):
    (term,) = applied.pack.model.applied_terms(applied.model)
    return term


def test_nothing_else_changes_to_the_bit(pack, loaded, teddy):
    """Strength 0, a prompt without the word, a row without it, and the plain model afterwards draw what they drew."""
    bear, boat = "a photo of a old teddy bear", "a boat"
    before = Applied(pack, loaded, []).draw(bear, boat)
    applied = Applied(pack, loaded, [teddy])
    mixed = applied.draw("a photo of a teddy_t", boat)
    assert torch.equal(mixed[1], before[1]) and not torch.equal(mixed[0], before[0])
    assert torch.equal(applied.draw(bear, boat), before)
    assert torch.equal(Applied(pack, loaded, [teddy], 0.0).draw("a photo of a teddy_t", boat), before)
    assert torch.equal(Applied(pack, loaded, []).draw(bear, boat), before)


def test_two_concepts_in_any_order_and_beside_a_learned_word(pack, loaded, teddy, position_concept, pack_concept):
    """Chains of Apply draw the same in any order, to the bit, whatever the concepts' gates."""
    concepts = [teddy, position_concept("mug_m", "cup", 2), pack_concept("cat_c", "cat", 3)]
    text = "a teddy_t and a mug_m beside a cat_c"
    pictures = [Applied(pack, loaded, order).draw(text, text) for order in (concepts, concepts[::-1])]
    assert torch.equal(*pictures)
    assert not torch.equal(pictures[0], Applied(pack, loaded, concepts[1:]).draw(text, text))


def test_marks_follow_what_nodes_do_to_a_prompt(pack, loaded, teddy):
    """Weights, averages, joined prompts, restored spreads: the look stays at the word, in the share it has there."""
    applied = Applied(pack, loaded, [teddy])

    def marks(prompt: torch.Tensor) -> torch.Tensor:
        return pack.conditioning.marks_of(prompt, ["teddy_t"])[0, :, 0]

    place = torch.zeros(77)
    place[2:5] = 1
    prompt = applied.prompt("a teddy_t")
    assert torch.equal(marks(prompt), place)
    torch.testing.assert_close(marks(applied.prompt("a (teddy_t:1.3)")), 1.3 * place, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(marks(prompt * 0.5 + 0.5 * applied.prompt("")), 0.5 * place, rtol=1e-3, atol=1e-3)
    joined = torch.cat((applied.prompt("a boat"), prompt), 1)
    assert torch.equal(marks(joined), torch.cat((torch.zeros(77), place)))
    assert torch.equal(marks(torch.nn.functional.pad(prompt, (0, 1280))), place)
    restored = prompt * 1.1 * (prompt.std() / (1.1 * prompt).std())
    torch.testing.assert_close(marks(restored), place, rtol=1e-2, atol=1e-2)
    assert not marks(restored)[place == 0].any() and not marks(torch.zeros_like(prompt) * prompt).any()


def test_a_region_keeps_the_look_inside(pack, loaded, teddy):
    """Outside of its mask the word draws the superclass in the first layer; a mask of white is no mask."""
    texts = ["a teddy_t"] * 2
    whole = Applied(pack, loaded, [teddy]).draw(*texts)
    white = Applied(pack, loaded, [teddy], region=torch.ones(8, 8)).draw(*texts)
    torch.testing.assert_close(white, whole, rtol=1e-4, atol=1e-4)
    black = Applied(pack, loaded, [teddy], region=torch.zeros(8, 8)).draw(*texts)
    torch.testing.assert_close(black, Applied(pack, loaded, []).draw(*["a old teddy bear"] * 2), rtol=1e-4, atol=1e-4)


def test_a_region_is_the_whole_pictures_where_a_prompt_has_an_area(pack, loaded, teddy):
    """Of a prompt that is drawn in one half alone, the look is in that half's share of the region, not squeezed in."""
    region = torch.zeros(8, 16)
    region[:, :8] = 1

    def halves(applied: Applied, text: str) -> tuple[torch.Tensor, ...]:
        prompt = applied.prompt(text)
        conds = [[prompt, {"area": (8, 8, 0, x), "strength": 1.0}] for x in (0, 8)]
        return drawn(applied.model, conds, [[prompt, {}]], (1, 4, 8, 16)).split(8, -1)

    regional = halves(Applied(pack, loaded, [teddy], region=region), "a teddy_t")
    whole = halves(Applied(pack, loaded, [teddy]), "a teddy_t")
    plain = halves(Applied(pack, loaded, []), "a old teddy bear")
    torch.testing.assert_close(regional[0], whole[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(regional[1], plain[1], rtol=1e-4, atol=1e-4)
    assert (regional[0] - plain[0]).abs().max() > 0.01


@pytest.fixture(scope="module")
def sdxl(load_checkpoint):
    return load_checkpoint("sdxl")


@pytest.fixture(scope="module")
def sdxl_clip(sdxl):
    return sdxl[1]


def test_sdxl_marks_in_both_text_encoders(pack, sdxl_clip, teddy):
    """SDXL joins two encoders; the mark stands once, at the same words."""
    clip = sdxl_clip
    knowing = pack.clip.clip_with_concept(clip, teddy, 1.0, pack.ops.KeyLocking.LOCAL)
    prompt, pooled = knowing.encode_from_tokens(knowing.tokenize("a teddy_t"), return_pooled=True)
    plain, pooled_plain = clip.encode_from_tokens(clip.tokenize("a old teddy bear"), return_pooled=True)
    assert torch.equal(pack.encoded_prompt.plain(prompt), plain) and torch.equal(pooled, pooled_plain)
    assert pack.conditioning.marks_of(prompt, ["teddy_t"])[0, :, 0].nonzero().flatten().tolist() == [2, 3, 4]


def test_sdxl_reads_the_superclass_prompt_beside_the_words(pack, sdxl_clip, pack_concept):
    """One vector of the whole prompt conditions SDXL: the superclass prompt's, in drawing and training. The words are
    read alike in both, by both text encoders."""
    concept = pack_concept("mug_m", "coffee cup", 2, "sdxl")
    knowing = pack.clip.clip_with_concept(sdxl_clip, concept, 1.0, pack.ops.KeyLocking.LOCAL)

    def encoded(clip, text: str):
        return clip.encode_from_tokens(clip.tokenize(text), return_pooled=True)

    (prompt, pooled), (plain, superclass) = encoded(knowing, "a mug_m"), encoded(sdxl_clip, "a coffee cup")
    read = pack.conditioning.without_marks({"cross_attn": prompt, "pooled_output": pooled})["pooled_output"]
    assert torch.equal(read, superclass) and (pack.encoded_prompt.plain(pooled) - superclass).abs().max() > 1e-3
    encoders, device = pack.encoders.private_encoders(sdxl_clip)
    texts = pack.encoders.HostTextEncoder(sdxl_clip, encoders, "coffee cup", device)
    with torch.no_grad():
        named, own = (texts.encode(["a {}"], word) for word in (dict(concept.word_embeddings), None))
        both = texts.pooled_superclass(["a {}", "the {} at sea, by night"])
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(named.encodings, pack.encoded_prompt.plain(prompt), **close)
    torch.testing.assert_close(own.encodings, plain, **close)
    with torch.no_grad():
        measured, _kinds = pack.encoders.encode_captions(sdxl_clip, ["a coffee cup"])
    torch.testing.assert_close(measured, plain, **close, msg="the statistics are of what layers read")
    assert named.keep[0].nonzero().flatten().tolist() == [0] and named.positions.tolist() == [3]
    other = encoded(sdxl_clip, "the coffee cup at sea, by night")[1]
    torch.testing.assert_close(both, (superclass + other) / 2, **close)
    assert (superclass - other).abs().max() > 1e-2


def test_sdxl_is_trained_with_the_sizes_that_it_draws_with(pack, sdxl):
    """A picture that is wider than high would be learned as one that is higher than wide."""
    pooled, model = torch.randn(1, 1280, generator=torch.Generator().manual_seed(1)), sdxl[0].model
    given = {"pooled_output": pooled, "width": 96, "height": 64, "device": torch.device("cpu")}
    drawn_with = model.extra_conds(noise=torch.zeros(1, 4, 8, 12), **given)["y"].cond
    family = pack.family.family_of(sdxl[0])
    assert torch.equal(family.conditioning(sdxl[0], pooled, (64, 96))["y"], drawn_with)
