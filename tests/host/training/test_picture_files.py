"""Photographs from a folder: upright, in order, with what lies beside them, and none left out in silence."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

WIDE = (48, 32)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "my cat"
    made.mkdir()
    return made


def gradient(size=WIDE, mode: str = "RGB") -> Image.Image:
    """Bright on the right."""
    row = np.linspace(0, 255, size[0]).round().astype(np.uint8)
    return Image.fromarray(np.tile(row, (size[1], 1))).convert(mode)


def load(pack, folder, longest_side=1536):
    files, unused = pack.picture_files.picture_files(folder)
    return pack.picture_files.load_pictures(files, longest_side), unused


def test_pictures_come_in_natural_order_with_the_captions_and_masks_of_their_names(pack, folder):
    """Each photograph is learned with its own caption and mask, whatever their number."""
    for name in ("IMG_10.png", "img_2.JPG", "IMG_1.webp", ".hidden.jpg"):
        gradient().save(folder / name, format="PNG")
    (folder / "img_2.txt").write_text("\ufeffa cat\n on a chair \n", encoding="utf-8")
    (folder / "readme.txt").write_text("not a caption")
    (folder / "notes.json").write_text("{}")
    Image.new("L", (24, 16), 128).save(folder / "IMG_10_mask.png")
    files, unused = pack.picture_files.picture_files(folder)
    assert [file.path.name for file in files] == ["IMG_1.webp", "img_2.JPG", "IMG_10.png"]
    assert unused == ["readme.txt"]
    first, second, third = pack.picture_files.load_pictures(files, 1536)
    assert (first.caption, second.caption, third.caption) == ("", "a cat on a chair", "")
    assert first.mask is None and second.mask is None
    assert third.mask.shape == (1, 32, 48) and third.mask.unique().tolist() == [pytest.approx(128 / 255)]


def test_a_photograph_is_turned_upright_and_scaled_to_the_longest_side(pack, folder):
    """A phone's portrait is not learned lying on its side, and takes no more memory than asked for."""
    exif = Image.Exif()
    exif[0x0112] = 6
    gradient((480, 320)).save(folder / "phone.jpg", exif=exif)
    ((one,), _) = load(pack, folder, longest_side=96)
    assert one.pixels.shape == (1, 96, 64, 3)
    assert one.pixels[0, 0].max() < 0.1 and one.pixels[0, -1].min() > 0.9, "the camera's right is below"


def test_a_small_picture_keeps_every_pixel(pack, folder):
    """Pictures of training size arrive as Load Image gives them."""
    gradient().save(folder / "small.png")
    ((one,), _) = load(pack, folder)
    np.testing.assert_array_equal(one.pixels[0].numpy(), np.asarray(gradient()).astype(np.float32) / 255)


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "I;16", "F", "LA"])
def test_every_colour_mode_becomes_a_picture_as_bright_as_it_was(pack, folder, mode):
    """Scans, drawings and greys of 16 bits are learned as they look."""
    grey = np.asarray(gradient(mode="L"))
    if mode == "I;16":
        picture, name = Image.fromarray(grey.astype(np.uint16) * 257), "a.png"
    elif mode == "F":
        picture, name = Image.fromarray(grey.astype(np.float32) / 255), "a.tiff"
    else:
        picture, name = gradient(mode=mode), "a.tiff" if mode == "CMYK" else "a.png"
    picture.save(folder / name)
    ((one,), _) = load(pack, folder)
    assert one.mask is None, "an opaque alpha is no mask"
    assert one.pixels.shape == (1, 32, 48, 3)
    assert one.pixels[..., :8, :].mean() < 0.3 < 0.7 < one.pixels[..., -8:, :].mean()
    if mode != "1":
        assert abs(one.pixels[0, :, :, 0].numpy() - grey / 255).max() < 0.02


def test_alpha_is_the_mask_and_a_mask_of_its_own_comes_before_it(pack, folder):
    """A cut-out subject is learned without its background."""
    cut_out = gradient(mode="RGBA")
    cut_out.putalpha(Image.new("L", WIDE, 51))
    cut_out.save(folder / "a.png")
    cut_out.save(folder / "b.png")
    Image.new("L", WIDE, 255).save(folder / "b_mask.png")
    (a, b), _ = load(pack, folder)
    assert a.mask.unique().tolist() == [pytest.approx(0.2)] and b.mask.unique().tolist() == [1.0]


def test_every_file_that_cannot_be_used_is_named_with_its_reason(pack, folder):
    """A phone's HEIC files, a broken download and a wrong mask are all told at once, and none is left out unsaid."""
    for name in ("good.png", "narrow.png", "black.png", "text.png"):
        gradient().save(folder / name)
    (folder / "IMG_7.HEIC").write_bytes(b"\x00\x00\x00\x18ftypheic no decoder reads this")
    gradient((400, 400)).save(folder / "cut.jpg")
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:-900])
    Image.new("L", (32, 32), 255).save(folder / "narrow_mask.png")
    Image.new("L", WIDE, 0).save(folder / "black_mask.png")
    (folder / "text.txt").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(ValueError) as caught:
        load(pack, folder)
    told = str(caught.value)
    assert "In 'my cat', 5 of 6 pictures cannot be used" in told
    for part in (
        "IMG_7.HEIC (ComfyUI cannot open this HEIC file)",
        "cut.jpg (image file is truncated",
        "narrow_mask.png (it has another shape than its picture)",
        "black_mask.png (its mask is all black",
        "text.txt (its text cannot be read as UTF-8",
        "Save them anew as JPEG or PNG",
    ):
        assert part in told
    assert "good.png" not in told


def test_an_empty_folder_and_a_mask_without_its_picture_are_refused(pack, folder):
    """Who chooses the wrong folder, or renames a picture, reads what is missing."""
    with pytest.raises(ValueError, match="There are no pictures in 'my cat'"):
        load(pack, folder)
    gradient().save(folder / "a.png")
    gradient().save(folder / "b_mask.png")
    with pytest.raises(ValueError, match="b_mask.png has no picture of the same name without '_mask'"):
        load(pack, folder)
