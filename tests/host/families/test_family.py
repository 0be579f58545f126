"""Which family a model is of: the ones that the pack can edit, and a sentence for all others."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest


def test_a_model_without_text_cross_attention_is_refused(pack):
    """Who connects another kind of model, such as Flux, reads that it cannot work."""

    class Flux:
        pass

    class Model:
        class model:  # noqa: N801 - as the host names it
            model_config = Flux()

    with pytest.raises(ValueError, match="of the kind Flux, which concepts cannot edit; expected SD 1.x, SD 2.x"):
        pack.family.family_of(Model)


def test_a_network_of_another_pack_is_refused_by_name(pack):
    """Who connects Nunchaku's Flux, which calls itself the host's, reads what to do and no attribute's name."""
    import comfy.supported_models

    class ComfyFluxWrapper:
        pass

    class Model:
        class model:  # noqa: N801 - as the host names it
            model_config = comfy.supported_models.Flux({})
            diffusion_model = ComfyFluxWrapper()

    with pytest.raises(ValueError, match="Flux.1 by its settings.* a ComfyFluxWrapper of another pack.*own Load Diff"):
        pack.family.check_fits(Model, SimpleNamespace(word="teddy_t", base_family="flux1"))


def test_the_refiner_of_sdxl_is_refused_by_name(pack):
    """Who connects Apply to the refiner too reads where it belongs, not that SDXL is another kind of model."""
    import comfy.supported_models

    class Model:
        class model:  # noqa: N801 - as the host names it
            model_config = comfy.supported_models.SDXLRefiner({})

    with pytest.raises(ValueError, match="The model is SDXL's refiner.*to the base model"):
        pack.family.family_of(Model)


def test_a_refusal_names_families_as_people_do(pack, monkeypatch):
    """Who loads a concept of another family reads Z-Image and SD 1.x, as the card of the concept says, and no id."""
    one, *others = pack.family.FAMILIES
    monkeypatch.setattr(pack.family, "family_of", lambda _model: one)
    model = SimpleNamespace(model=SimpleNamespace(diffusion_model=None))
    for family in others:
        concept = SimpleNamespace(word="teddy_t", base_family=family.name)
        expected = f"was trained for {family.title}, and this model is SD 1.x. Load a checkpoint of {family.title},"
        with pytest.raises(ValueError, match=re.escape(expected)):
            pack.family.check_fits(model, concept)


def test_a_family_of_a_later_version_asks_for_an_update(pack, monkeypatch):
    """Who gets a concept of a model that this version does not know is not sent to look for a checkpoint."""
    monkeypatch.setattr(pack.family, "family_of", lambda _model: pack.family.FAMILIES[0])
    model = SimpleNamespace(model=SimpleNamespace(diffusion_model=None))
    with pytest.raises(ValueError, match="family 'sd9', which this version of the pack does not know. Update this"):
        pack.family.check_fits(model, SimpleNamespace(word="teddy_t", base_family="sd9"))
    assert pack.family.title_of("sd9") == "'sd9'"
