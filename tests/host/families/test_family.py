"""Which family a model is of: the ones that the pack can edit, and a sentence for all others."""

from __future__ import annotations

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


def test_the_refiner_of_sdxl_is_refused_by_name(pack):
    """Who connects Apply to the refiner too reads where it belongs, not that SDXL is another kind of model."""
    import comfy.supported_models

    class Model:
        class model:  # noqa: N801 - as the host names it
            model_config = comfy.supported_models.SDXLRefiner({})

    with pytest.raises(ValueError, match="The model is SDXL's refiner.*to the base model"):
        pack.family.family_of(Model)


