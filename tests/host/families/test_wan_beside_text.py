"""Wan models that read pictures, films or sounds beside the prompt: the text model's concept draws in them."""

from __future__ import annotations

import pytest
import torch

from builders.cross_models import model_of
from builders.cross_world import TEXT, CrossWorld
from builders.literal import Literal, opened
from builders.wan_models import KINDS, LATENT, facts_of

NAMED, PLAIN = TEXT.format("teddy_t"), TEXT.format("teddy bear")


@pytest.fixture(scope="module")
def text_model(pack):
    return CrossWorld(pack, "wan21")


@pytest.fixture(scope="module", params=KINDS)
def world(pack, request):
    made = CrossWorld(pack, "wan21", facts_of(request.param))
    made.kind, made.latent, made.entries = KINDS[request.param], LATENT, KINDS[request.param].entries()
    return made


def draw(world, model, clip, text: str, cfg: float = 1.0) -> torch.Tensor:
    return world.draw(model, clip, text, cfg, world.entries)


def test_a_concept_of_the_text_model_by_hand(world, text_model):
    """In every layer keys and values of the prompt are the paper's, or the superclass's with ``g r`` on the values of
    its words; keys and values of pictures, and layers beside, are those of the superclass prompt."""
    concept, position = world.concept(), world.position_concept()
    assert world.family is text_model.family
    world.pack.family.check_fits(world.model, text_model.concept())
    superclass = draw(world, world.model, world.clip, PLAIN)

    def by_hand(keys, values) -> torch.Tensor:
        """The superclass prompt's picture, of layers whose projections give what is computed here."""
        other = model_of(world.facts)
        for name, layer in world.family.layers(other.model.diffusion_model).items():
            for projection, computed in ((layer.to_k, keys), (layer.to_v, values)):
                given = computed(name, projection)
                projection.register_forward_hook(lambda _module, _args, found, given=given: given(found))
        return draw(world, other, world.clip, PLAIN)

    _, clip = world.applied(concept)
    said = clip.encode_from_tokens(clip.tokenize(NAMED))
    with torch.inference_mode():
        read = world.reader(world.pack.encoded_prompt.plain(said), {})

    def literal(residual):
        def computed(name: str, projection):
            own = Literal(projection, concept, residual(name), world.padding())(read)
            return lambda found: own.expand_as(found)

        return computed

    ((_, marks),) = world.marks(TEXT)

    def marked(name: str, _projection):
        delta = opened() * marks[: read.shape[1]].unsqueeze(-1) * position.value_residuals[name]
        return lambda found: found + delta.to(found)

    learned = by_hand(literal(lambda _name: torch.zeros(1)), literal(concept.value_residuals.get))
    close = {"rtol": 1e-3, "atol": 1e-3}
    torch.testing.assert_close(draw(world, *world.applied(concept), NAMED), learned, **close)
    at_words = by_hand(lambda _name, _projection: lambda found: found, marked)
    torch.testing.assert_close(draw(world, *world.applied(position), NAMED), at_words, **close)
    assert min((picture - superclass).abs().max() for picture in (learned, at_words)) > 1e-2


def test_nothing_else_changes_to_the_bit(world):
    """A prompt without the word, strength 0 and the plain model afterwards draw what they drew; no training starts."""
    concept = world.position_concept()
    superclass = draw(world, world.model, world.clip, PLAIN, 3.0)
    assert (superclass - world.draw(world.model, world.clip, PLAIN, 3.0)).abs().max() > 1e-3, "what stands beside acts"
    model, clip = world.applied(concept)
    assert (draw(world, model, clip, NAMED, 3.0) - superclass).abs().max() > 1e-2
    assert torch.equal(draw(world, model, clip, PLAIN, 3.0), superclass)
    assert torch.equal(draw(world, *world.applied(concept, strength=0.0), NAMED, 3.0), superclass)
    assert torch.equal(draw(world, world.model, world.clip, PLAIN, 3.0), superclass)
    with pytest.raises(ValueError, match="beside the prompt; training has none.*draw here too|reads (36|52) channels"):
        world.family.check_trainable(world.model)


def test_a_region_is_found_in_every_frame(world):
    """It counts from the film's own corner, wherever reference pictures and poses stand; all of it is no region."""
    concept, outputs = world.position_concept(), []

    def first_output(**where) -> torch.Tensor:
        """Of the first block, by place (n, d)."""
        outputs.clear()
        block = world.net.blocks[0]
        handle = block.register_forward_hook(lambda _module, _args, output: outputs.append(output[0].clone()))
        draw(world, *world.applied(concept, **where), NAMED)
        handle.remove()
        return outputs[0]

    left = torch.zeros(8, 8)
    left[:, :4] = 1
    whole, nowhere, half = (first_output(region=region) for region in (torch.ones(8, 8), torch.zeros(8, 8), left))
    moved = (half - nowhere).abs().amax(-1) > 1e-4
    film = slice(world.kind.before, len(moved) - world.kind.behind)
    expected = torch.zeros_like(moved)
    expected[film] = torch.tensor([True, True, False, False]).repeat(LATENT[2] * 4)
    assert torch.equal(moved, expected)
    torch.testing.assert_close(whole[film], first_output()[film], rtol=1e-4, atol=1e-4)
