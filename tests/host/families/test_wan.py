"""Wan on pictures: its position gate, its experts, and what is refused."""

from __future__ import annotations

import dataclasses
import importlib

import pytest
import torch

from builders.cross_models import CROSS, cross_model, model_of
from builders.cross_world import TEXT, CrossWorld
from builders.older_hosts import skip_where_untrainable, skip_without
from builders.places import PACK
from builders.wan_models import facts_of


def test_wan_for_pictures_to_films_is_refused_for_training(pack):
    """The host finds the class of text models for Wan 2.2's I2V experts: their channels tell them apart."""
    model = model_of(facts_of("2.2 from a picture"))
    family = pack.family.family_of(model)
    assert family.name == "wan21"
    with pytest.raises(ValueError, match="reads 36 channels.* expects the 16 of a latent"):
        family.check_trainable(model)
    skip_where_untrainable(pack, family)
    family.check_trainable(cross_model("wan21"))


def test_statistics_of_the_encodings_before_wans_layers_are_refused(pack):
    """Measured without the model they are of another width: said before a training, not by torch in its first step."""
    checks = importlib.import_module(f"{PACK}.nodes.training.checks")
    model, statistics = cross_model("wan21"), importlib.import_module(f"{PACK}.perfusion_ops.text.covariance")
    measured = statistics.UncenteredCovariance(48, "e", "c")
    with pytest.raises(ValueError, match="width 48; expected 64, which this model reads.*with the model connected"):
        checks.check_statistics(measured, model)


def test_statistics_of_other_reading_layers_are_measured_anew(pack, monkeypatch, tmp_path):
    """Of two models behind one text encoder, the second would be trained by what the first makes of a prompt."""
    monkeypatch.setattr(pack.folders, "statistics_folder", lambda: tmp_path)
    world, captions = CrossWorld(pack, "wan21"), ["a dog", "a red cup in snow"]
    first = pack.statistics.measured(world.clip, captions, world.model)
    weight = next(world.net.text_embedding.parameters())
    with torch.no_grad():
        weight *= 2
        other = pack.statistics.measured(world.clip, captions, world.model)
        weight /= 2
    again = pack.statistics.measured(world.clip, captions, world.model)
    assert torch.equal(again.sums, first.sums) and not torch.equal(other.sums, first.sums)


@pytest.mark.parametrize("config, channels", [("WAN21_T2V", 16), ("WAN22_T2V", 48)])
def test_one_concept_draws_in_both_experts_and_in_the_model_of_other_latents(pack, config, channels):
    """Each expert keeps its weights and takes the concept; 48 channels of latents are a family of their own."""
    world = CrossWorld(pack, "wan21")
    sizes = CROSS["wan21"].unet | {"in_dim": channels, "out_dim": channels}
    other = model_of(dataclasses.replace(CROSS["wan21"], config=config, unet=sizes))
    world.latent = (2, channels, 1, 8, 8)
    with torch.no_grad():
        other.model.diffusion_model.blocks[0].ffn[0].weight.mul_(0.5)
    concept, text = world.concept(), TEXT.format("teddy_t")
    if channels == 48:
        with pytest.raises(ValueError, match="was trained for Wan 2.1 and 2.2, and this model is Wan 2.2 5B"):
            world.pack.family.check_fits(other, concept)
        concept = world.pack.ops.Concept(**{**vars(concept), "base_family": "wan22"})
    superclass = world.draw(other, world.clip, TEXT.format("teddy bear"))
    world.model = other
    model, clip = world.applied(concept)
    assert (world.draw(model, clip, text) - superclass).abs().max() > 1e-2
    assert torch.equal(world.draw(model, clip, TEXT.format("teddy bear")), superclass)
    skip_where_untrainable(pack, world.family)
    world.family.check_trainable(other)


def test_a_region_beside_a_pictures_own_tokens(pack):
    """Pictures to look at stand behind the one that is drawn: a region is found in the latter, of whatever sizes."""
    skip_without("pictures to look at in Wan 2.1")
    world = CrossWorld(pack, "wan21")
    beside = {"context_latents": [torch.ones(1, 16, 1, 4, 8), torch.ones(1, 16, 1, 6, 6)]}
    concept, text, close = world.position_concept(), TEXT.format("teddy_t"), {"rtol": 1e-3, "atol": 1e-4}
    superclass = world.draw(world.model, world.clip, TEXT.format("teddy bear"), entries=beside)
    pictures = {
        name: world.draw(*world.applied(concept, region=region), text, entries=beside)
        for name, region in {"whole": None, "white": torch.ones(8, 8), "black": torch.zeros(8, 8)}.items()
    }
    torch.testing.assert_close(pictures["black"], superclass, **close)
    assert all((pictures[name] - superclass).abs().max() > 1e-2 for name in ("white", "whole"))
    assert torch.equal(world.draw(*world.applied(concept), TEXT.format("teddy bear"), entries=beside), superclass)
    # The pictures to look at take no look from inside a region, so that it stays inside.
    assert (pictures["white"] - pictures["whole"]).abs().max() > 1e-4
