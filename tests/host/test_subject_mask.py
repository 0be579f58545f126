"""Perfusion Subject Mask: sizes, the same masks every time, nothing left on the model, and its refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from builders.places import ROOT
from builders.workflows import Workflow, load
from pixelworld.expand import write_checkpoint
from pixelworld.scene import draw, sample_individual, training_pictures

CELL = 8
"""Picture pixels per cell of the pixel world."""


@pytest.fixture(scope="module")
def parts(pack, checkpoint):
    """MODEL, CLIP and VAE of the small random SD 1.x checkpoint."""
    import comfy.sd

    return comfy.sd.load_checkpoint_guess_config(str(checkpoint("sd1")), output_vae=True, output_clip=True)[:3]


def pictures(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, height, width, 3, generator=torch.Generator().manual_seed(seed))


def masks(pack, parts, groups, superclass: str = "teddy bear", **settings):
    return pack.subject_masks.MaskReader(*parts, superclass, **{"resolution": 96, **settings}).masks(groups)


def test_the_mask_lies_on_the_subject(pack):
    """In the host's own network of the pixel world, masks of pictures that it never saw cover the true bodies."""
    import comfy.sd

    path = str(write_checkpoint(ROOT / "build" / "checkpoints"))
    world = comfy.sd.load_checkpoint_guess_config(path, output_vae=True, output_clip=True)[:3]
    shots = [training_pictures(sample_individual(seed, word), 1)[0] for seed, word in ((1, "cat"), (2, "cat"))]
    bodies = torch.from_numpy(np.stack([draw(shot.scene).body_masks[0] for shot in shots]))
    cells = torch.from_numpy(np.stack([shot.pixels for shot in shots])).float()
    (found,) = masks(pack, world, [cells.repeat_interleave(CELL, 1).repeat_interleave(CELL, 2)], "cat", resolution=128)
    white = found.unfold(1, CELL, CELL).unfold(2, CELL, CELL).mean((-1, -2)) > 0.5
    overlap = (white & bodies).sum((1, 2)) / (white | bodies).sum((1, 2))
    assert overlap.min() > 0.55
    elsewhere = (white & bodies.roll(8, 2)).sum((1, 2)) / (white | bodies.roll(8, 2)).sum((1, 2))
    assert elsewhere.max() < 0.3, "negative control: half a picture aside there is no such overlap"


def test_each_picture_gets_one_mask_of_its_size_whatever_stands_beside_it(pack, parts):
    """Masks go straight into Train: one for each picture, in its size; a picture more or less changes no other's."""
    wide, tall = pictures(2, 96, 128), pictures(1, 130, 70, seed=1)
    before = dict(parts[0].model_options["transformer_options"])
    together = masks(pack, parts, [wide, tall])
    assert [tuple(group.shape) for group in together] == [(2, 96, 128), (1, 130, 70)]
    for group in together:
        assert group.min() >= 0 and group.max() <= 1 and group.std() > 0.05, "or the mask would be empty or full"
    alone = masks(pack, parts, [wide[:1]])[0][0]
    assert torch.allclose(alone, together[0][0], atol=1e-4)
    assert torch.equal(masks(pack, parts, [wide[:1]])[0][0], alone)
    assert parts[0].model_options["transformer_options"] == before
    assert not torch.allclose(masks(pack, parts, [wide[:1]], seed=7)[0][0], alone, atol=1e-4)


def test_the_threshold_grows_and_shrinks_the_mask(pack, parts):
    """The one dial does what it says: below 0 more of the picture, above 0 less."""
    areas = [masks(pack, parts, [pictures(1, 64, 64)], threshold=value)[0].mean() for value in (-0.3, 0.0, 0.3)]
    assert areas[0] > areas[1] > areas[2]


def test_another_nodes_attention_is_called_as_before(pack, parts):
    """A node that changes attention on the same model goes on doing so while the mask is read."""
    model, clip, vae = parts
    model, called = model.clone(), []

    def doubled(attention, *args, **settings):
        called.append(1)
        return attention(*args, **settings)

    model.model_options["transformer_options"]["optimized_attention_override"] = doubled
    masks(pack, (model, clip, vae), [pictures(1, 64, 64)])
    assert called
    assert model.model_options["transformer_options"]["optimized_attention_override"] is doubled


@pytest.mark.parametrize("superclass", ["(dog:1.3)", "", "   "])
def test_a_superclass_that_is_no_plain_word_is_refused(pack, parts, superclass):
    """Brackets would be read as weights: a sentence says what to write."""
    with pytest.raises(ValueError, match="The superclass is .*expected one or"):
        masks(pack, parts, [pictures(1, 64, 64)], superclass)


def test_broken_pictures_and_other_models_are_refused(pack, parts):
    """A picture that is not numbers, none at all, and a model whose attention is of another kind have sentences."""
    from builders.cross_models import cross_model

    broken = pictures(2, 64, 64)
    broken[1, 3, 3] = float("nan")
    with pytest.raises(ValueError, match="Picture 2 holds pixels that are not numbers"):
        masks(pack, parts, [broken])
    with pytest.raises(ValueError, match="No pictures are connected"):
        masks(pack, parts, [])
    with pytest.raises(ValueError, match="The model is Anima; .*reads the attention of SD 1.x, SD 2.x and SDXL alone"):
        masks(pack, (cross_model("anima"), *parts[1:]), [pictures(1, 64, 64)])


def test_masks_go_straight_into_training_and_are_shown(server):
    """Wired as a user would: an image batch in, masks for Train and an overlay on the node itself."""
    graph = Workflow()
    model, clip, vae = load(graph)
    images = graph.add("EmptyImage", width=64, height=96, batch_size=2, color=0x336699)[0]
    settings = {"superclass": "dog", "threshold": 0.0, "resolution": 64, "seed": 0}
    node = graph.add("PerfusionSubjectMask", model=model, clip=clip, vae=vae, images=images, **settings)
    back = graph.add("PreviewImage", images=graph.add("MaskToImage", mask=node[0])[0])
    result = server.run(graph)
    assert server.pictures(result, back.name).shape[:3] == (2, 96, 64)
    assert server.pictures(result, node.name)[0].shape[0] == 256


def test_many_pictures_are_shown_in_rows(pack):
    """Twelve pictures on the node are a page, not a ribbon that shrinks to a line."""
    page = pack.overlay.sheet([pictures(12, 64, 64), pictures(1, 64, 32)])
    assert page.shape[2] <= 1200 and page.shape[1] == 3 * 256 + 2 * 8
    shown = pack.overlay.overlay(torch.ones(1, 4, 4, 3), torch.eye(4)[None])
    assert (shown[0].diagonal() == 1).all() and shown[0, 0, 1].max() < 0.8
