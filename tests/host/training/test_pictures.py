"""Training pictures as users connect them: brought to size without squashing, each with its own mask."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def picture(width: int, height: int, channels: int = 3) -> torch.Tensor:
    """(1, H, W, C): as bright as its place from left to right, 0 to 1."""
    return torch.linspace(0, 1, width).view(1, 1, width, 1).expand(1, height, width, channels).clone()


def test_a_large_picture_is_scaled_down_and_keeps_its_shape(pack):
    """A photograph fits the card, and its subject is neither squashed nor stretched."""
    (shot,) = pack.pictures.shots([picture(1024, 512)], [], 256)
    height, width, _ = shot.pixels.shape
    assert height * width <= 256**2 and width / height == pytest.approx(2, abs=0.1)
    assert height % 8 == width % 8 == 0
    assert shot.pixels[:, 0].max() < 0.05 and shot.pixels[:, -1].min() > 0.95, "the whole picture is still there"


def test_a_small_picture_is_cropped_in_its_middle_and_not_enlarged(pack):
    """A small picture is learned as sharp as it is."""
    source = picture(71, 66)
    (shot,) = pack.pictures.shots([source], [], 512)
    assert shot.pixels.shape == (64, 64, 3)
    assert torch.equal(shot.pixels, source[0, 1:65, 3:67])


def test_lists_and_batches_become_one_list_in_the_order_they_are_connected(pack):
    """Pictures of different sizes can be connected together with batches, each with its own mask."""
    pair, single = torch.cat([picture(16, 16), 1 - picture(16, 16)]), picture(24, 16)
    masks = [torch.full((2, 16, 16), 0.5), torch.full((1, 16, 24), 0.25)]
    shots = pack.pictures.shots([pair, single], masks, 512)
    assert [shot.pixels.shape for shot in shots] == [(16, 16, 3), (16, 16, 3), (16, 24, 3)]
    assert [shot.mask.unique().tolist() for shot in shots] == [[0.5], [0.5], [0.25]]
    assert torch.equal(shots[1].pixels, pair[1]) and not torch.equal(shots[0].pixels, pair[1])


def test_alpha_is_the_mask_of_a_picture_without_another_one(pack):
    """A cut-out subject is learned without its background, and a connected mask comes before alpha."""
    cut_out = picture(16, 16, 4)
    cut_out[..., 3] = 0.0
    cut_out[:, :, :8, 3] = 1.0
    (alone,), (masked,) = (pack.pictures.shots([cut_out], masks, 512) for masks in ([], [torch.ones(1, 16, 16)]))
    assert alone.pixels.shape == (16, 16, 3)
    assert torch.equal(alone.mask, cut_out[0, ..., 3]) and torch.equal(masked.mask, torch.ones(16, 16))


@pytest.mark.parametrize(
    ("images", "masks", "sentence"),
    [
        ([picture(7, 64)], [], "Picture 1 is 7 x 64 pixels; expected at least 8 x 8"),
        ([picture(16, 16)] * 2, [torch.ones(1, 16, 16)], "There are 2 pictures and 1 masks; expected one mask"),
        ([picture(16, 16)], [torch.full((1, 16, 16), float("nan"))], "Mask 1 is empty"),
    ],
)
def test_pictures_and_masks_that_do_not_fit_are_refused_with_a_sentence(pack, images, masks, sentence):
    """Who connects a wrong picture or mask reads which one, and what was expected."""
    with pytest.raises(ValueError, match=sentence):
        pack.pictures.shots(images, masks, 512)


class LargestNew(TorchDispatchMode):
    """Bytes of the largest tensor that is made."""

    def __init__(self, given: list[torch.Tensor]) -> None:
        super().__init__()
        self.given = {tensor.untyped_storage().data_ptr() for tensor in given}
        self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().data_ptr() not in self.given:
                self.bytes = max(self.bytes, tensor.untyped_storage().nbytes())
        return found


@pytest.mark.parametrize("batch", [True, False])
def test_photographs_are_brought_to_size_without_a_copy_of_any_of_them(pack, batch):
    """Thirty photographs of 24 megapixels take no more memory than the host already gives them."""
    photographs = [picture(1200, 800) for _ in range(4)]
    connected = [torch.cat(photographs)] if batch else photographs
    with LargestNew(connected) as largest:
        shots = pack.pictures.shots(connected, [], 256)
    assert len(shots) == 4
    assert max(shot.pixels.nbytes for shot in shots) <= largest.bytes < photographs[0].nbytes / 4


def test_colours_out_of_range_are_still_brought_into_it(pack):
    """Sharpening nodes leave numbers beyond 0 and 1; the first stage expects none."""
    source = picture(16, 16) * 3 - 1
    (shot,) = pack.pictures.shots([source], [], 512)
    assert torch.equal(shot.pixels, source[0].clamp(0, 1))


def test_the_same_picture_in_several_loaders_is_told(pack):
    """Who forgets to choose a picture in a loader learns which ones are trained on twice."""
    one, other = picture(16, 16), 1 - picture(16, 16)
    taken = pack.pictures.shots([one, other, one.clone(), picture(24, 16), other.clone(), one.clone()], [], 512)
    told = pack.pictures.warning_of_same(taken)
    assert told.startswith("Pictures 1, 3 and 6 are the same. Pictures 2 and 5 are the same. If you did not mean it, ")
    assert pack.pictures.warning_of_same(pack.pictures.shots([one, other, picture(24, 16)], [], 512)) is None


@pytest.mark.parametrize("frames", [False, True])
def test_a_latent_its_mirror_image_mask_and_caption_belong_to_one_picture(pack, frames):
    """What is learned would be upside down, of another picture's caption, or beside the mask."""
    pixels = [torch.rand(16, 24, 3, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    mask = torch.zeros(16, 24)
    mask[:4, :8] = 1

    def encode(picture: torch.Tensor) -> torch.Tensor:
        cells = torch.nn.functional.avg_pool2d(picture.movedim(-1, 1), 8)
        return cells.unsqueeze(2) if frames else cells

    model = SimpleNamespace(model=SimpleNamespace(process_latent_in=lambda latent: 3 * latent - 1))
    shots = [pack.pictures.Shot(pixels[0], mask), pack.pictures.Shot(pixels[1], None)]
    first, second = pack.task.latent_pictures(model, SimpleNamespace(encode=encode), shots, True, ("", "a {}"))
    for found, picture in ((first, pixels[0]), (second, pixels[1])):
        cells = torch.nn.functional.avg_pool2d(picture.movedim(-1, 0)[None], 8)[0]
        torch.testing.assert_close(found.latent, 3 * cells - 1)
        torch.testing.assert_close(found.mirrored, found.latent.flip(-1))
    assert first.mask.tolist() == [[0.5, 0, 0], [0, 0, 0]] and second.mask is None
    assert first.templates is None and second.templates == ("a {}",)
    (still,) = pack.task.latent_pictures(model, SimpleNamespace(encode=encode), shots[:1], False)
    assert still.mirrored is None and still.templates is None


@pytest.mark.parametrize(("name", "patch"), [("chroma_radiance", 16), ("zimage_pixel", 32)])
def test_pictures_for_models_in_pixel_space_are_whole_patches(pack, name, patch):
    """These models read pixels by patches of their own sizes: what lies in half a patch would be padded and learned."""
    (family,) = (family for family in pack.family.FAMILIES if family.name == name)
    (shot,) = pack.pictures.shots([torch.rand(1, 76, 108, 3)], [], 512, *family.sides)
    assert all(side % patch == 0 for side in shot.pixels.shape[:2])
