"""Sheets of pictures: nothing overlaps, nothing is cut, a pixel stays a square."""

from __future__ import annotations

import numpy as np
import pytest

from pixelworld.sheets import GAP, LABEL_WIDTH, MARGIN, PAPER, Row, draw_sheet, enlarged, font, save_sheet, wrapped

LONG = "a painting of a <momo> wearing a crown in the middle at the beach with a purple balloon"


def noise_picture(seed: int) -> np.ndarray:
    return np.random.RandomState(seed).rand(16, 16, 3).astype(np.float32)


def test_every_pixel_becomes_a_square_of_its_own_colour():
    """The sheets show the pictures that were drawn, neither smoothed nor recoloured."""
    picture = noise_picture(0)
    tile = np.asarray(enlarged(picture, 112))
    assert tile.shape == (112, 112, 3)
    squares = tile.reshape(16, 7, 16, 7, 3)
    assert (squares == squares[:, :1, :, :1]).all()
    assert np.abs(squares[:, 0, :, 0] / 255 - picture).max() <= 0.5 / 255 + 1e-6


def test_colours_beyond_the_range_are_cut_off_not_wrapped():
    """A picture that is too bright is shown white, and not black."""
    tile = np.asarray(enlarged(np.full((16, 16, 3), 1.5, np.float32), 16))
    assert (tile == 255).all()


@pytest.mark.parametrize("width", [60, 112, 400])
def test_wrapping_keeps_every_word_and_the_width(width):
    """No word of a prompt is lost below its picture."""
    lines = wrapped(LONG, font(13), width)
    assert " ".join(lines).split() == LONG.split()
    assert all(font(13).getlength(line) <= width or " " not in line for line in lines)
    assert len(wrapped(LONG, font(13), 60)) > len(wrapped(LONG, font(13), 400))


def test_the_pictures_stand_where_their_labels_are_and_the_margins_stay_empty():
    """A picture stands under its own prompt."""
    pictures = [noise_picture(seed) for seed in range(3)]
    rows = [Row("first\n" + LONG, pictures, [LONG] * 3), Row("second", [None, *pictures[:2]])]
    sheet = np.asarray(draw_sheet(LONG, LONG, [LONG, "", "x"], rows))
    for edge in (sheet[:MARGIN], sheet[-MARGIN + 2 :], sheet[:, : MARGIN - 2], sheet[:, -MARGIN + 2 :]):
        assert (edge == PAPER).all()
    for index, picture in enumerate(pictures):
        left = MARGIN + LABEL_WIDTH + index * (112 + GAP)
        tile = np.asarray(enlarged(picture, 112))
        tops = [top for top in range(len(sheet) - 112) if (sheet[top : top + 112, left : left + 112] == tile).all()]
        assert len(tops) == 1
    assert not (sheet == 0).all()


def test_a_sheet_is_the_same_file_every_time(tmp_path):
    """A sheet in the repository changes only when a picture does."""
    for name in ("a.png", "b.png"):
        save_sheet(draw_sheet("title", "words", ["x"], [Row("row", [noise_picture(1)])]), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]
