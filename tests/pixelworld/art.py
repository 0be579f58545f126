"""What the pixel world is made of: palettes, sprites, places. Each colour channel takes five levels, in quarters."""
import numpy as np

SIZE = 16
SPRITE_WIDTH, SPRITE_HEIGHT = 7, 8

BODY_COLOURS = {
    "red": (1, 0, 0), "orange": (1, .5, 0), "yellow": (1, 1, 0), "green": (0, .75, 0),
    "cyan": (0, 1, 1), "blue": (0, .25, 1), "purple": (.5, 0, .75), "brown": (.5, .25, 0),
}
NAMED_COLOURS = {name: BODY_COLOURS[name] for name in ("red", "green", "blue", "yellow", "purple")}
PATTERNS = ("plain", "stripes", "spots", "half")
MARKS = ("none", "blaze", "badge")
WIDE = 24
"""Columns of a picture with room for three figures side by side; in one of SIZE columns there is room for two."""


def width_for(figures: int) -> int:
    """Columns of a picture with room for so many figures."""
    return SIZE if figures <= 2 else WIDE


def left_edges(width: int = SIZE) -> dict[str, int]:
    """Position -> column of the sprite's left edge, before the jitter of 0 or 1, in a picture of `width` columns."""
    room = width - SPRITE_WIDTH - 1
    return {"left": 0, "middle": room // 2, "right": room}


POSITIONS = left_edges()

# 1: first body colour, patterned; 2: second body colour; m, n: slots of the marks, else as 1; others: INKS.
SPRITES = {
    "cat": ("2...2..", "22122..", "1e1e1..", "11n11.2", ".1111.2", ".1mm112", ".11111.", ".2.2.2."),
    "dog": (".......", "2211...", "2e1n..2", "1111..2", "k111111", "..1mm11", "..11111", "..2.2.2"),
    "rabbit": ("..2.2..", "..2.2..", "..212..", "..1n1..", ".1e1e1.", ".11111.", "111m112", ".22.22."),
    "bird": ("..111..", ".1en1..", "yy111..", "..1111.", "..1mm12", "..11122", "...111.", "...y.y."),
    "fish": (".......", "..22...", ".1111.2", "1en1122", "11mm12.", ".1111.2", "..22..2", "......."),
    "turtle": (".......", ".......", "..111..", ".111n1.", ".11m111", "e2m1112", "2211122", ".22.22."),
    "robot": ("...2...", ".11111.", ".1e1e1.", ".11n11.", "2211122", "2.1m1.2", "..111..", ".22.22."),
    "teddy bear": ("22...22", "2211122", ".1e1e1.", ".11n11.", "2111112", "211m112", ".11111.", "22...22"),
}
HEAD_TOPS = {
    "cat": (2, 1), "dog": (2, 1), "rabbit": (3, 2), "bird": (3, 0), "fish": (2, 2), "turtle": (3, 2), "robot": (3, 1),
    "teddy bear": (3, 1),
}
"""(column, row) in the sprite that an accessory's lowest row stands on."""

ACCESSORIES = {
    "crown": ("y.y.y", "yyryy"),
    "hat": (".hhh.", ".hwh.", "hhhhh"),
    "bow": ("p...p", "ppwpp", "p...p"),
}
# c: the object's colour, which a caption may name.
OBJECTS = {
    "ball": (".cc.", "cwcc", "cccc", ".cc."),
    "box": ("kkkk", "kcck", "kcck", "kkkk"),
    "flower": (".cc.", "cyyc", ".cc.", ".gg."),
    "balloon": (".cc.", "cccc", "cccc", ".cc.", "..w.", ".w.."),
}
OBJECT_ROWS = {"ball": 11, "box": 11, "flower": 11, "balloon": 2}

INKS = {
    "e": (0, 0, 0), "k": (.25, .25, .25), "y": (1, .75, 0), "r": (1, 0, 0), "h": (.75, 0, .5), "w": (1, 1, 1),
    "p": (1, .5, .75), "g": (.25, .75, .25),
}
MARK_INK = (1, 1, 1)

VARIANTS = 4
"""Each place comes with its texture in four phases, which no caption names."""


def _fill(x: np.ndarray, rows: list[tuple[int, tuple]]) -> np.ndarray:
    """Horizontal bands as large as the grid `x`: (first row, colour) from the top down."""
    picture = np.zeros((*x.shape, 3), np.float32)
    for row, colour in rows:
        picture[row:] = colour
    return picture


def _beach(x, y, v):
    picture = _fill(x, [(0, (.5, .75, 1)), (6, (0, .5, .75)), (9, (1, .75, .5))])
    picture[(y == 7) & ((x + v) % 4 < 2)] = (.5, .75, 1)
    picture[(y > 9) & ((3 * x + 5 * y + 2 * v) % 7 == 0)] = (.75, .5, .25)
    return picture


def _forest(x, y, v):
    picture = _fill(x, [(0, (0, .25, 0)), (13, (.25, .5, 0))])
    picture[(y > 3) & (y < 13) & ((x + v) % 4 == 0)] = (.25, .25, 0)
    picture[(y < 5) & ((x + y + v) % 2 == 0)] = (0, .5, 0)
    return picture


def _snow(x, y, v):
    picture = _fill(x, [(0, (.5, .5, .75)), (9, (1, 1, 1))])
    picture[(y < 9) & ((5 * x + 3 * y + 3 * v) % 11 == 0)] = (1, 1, 1)
    picture[(y > 9) & ((x + 3 * y + 2 * v) % 8 == 0)] = (.75, .75, 1)
    return picture


def _city(x, y, v):
    picture = _fill(x, [(0, (.75, .5, .5)), (3, (.5, .5, .5)), (13, (.25, .25, .25))])
    picture[(y < 6) & ((x + 2 * v) % 8 < 3)] = (.75, .5, .5)
    picture[(y > 3) & (y < 13) & (y % 3 == 1) & ((x + 2 * v) % 4 == 0) & ((y > 6) | ((x + 2 * v) % 8 > 2))] = (1, 1, .5)
    picture[(y == 14) & ((x + v) % 4 < 2)] = (.75, .75, .75)
    return picture


def _space(x, y, v):
    picture = _fill(x, [(0, (0, 0, .25)), (13, (.5, .5, .5))])
    picture[(y < 13) & ((7 * x + 4 * y + 5 * v) % 17 == 0)] = (1, 1, 1)
    picture[(y > 12) & ((x + 2 * y + v) % 5 == 0)] = (.25, .25, .25)
    return picture


def _kitchen(x, y, v):
    picture = _fill(x, [(0, (1, 1, .75)), (11, (1, 1, 1))])
    picture[(y < 11) & ((y % 4 == 3) | ((x + v) % 4 == 0))] = (.75, .75, .5)
    picture[(y > 10) & ((x // 2 + y // 2 + v) % 2 == 0)] = (.75, .25, .25)
    return picture


PLACES = {
    "beach": ("at the beach", _beach), "forest": ("in the forest", _forest), "snow": ("in the snow", _snow),
    "city": ("in the city", _city), "space": ("in space", _space), "kitchen": ("in the kitchen", _kitchen),
}


def background(place: str, variant: int, width: int = SIZE) -> np.ndarray:
    """The empty place as (16, width, 3) in [0, 1]."""
    y, x = np.mgrid[:SIZE, :width]
    return PLACES[place][1](x, y, variant)


def pattern_cells(pattern: str) -> np.ndarray:
    """(8, 7) bool: which first-colour cells of a sprite the pattern paints in the second colour."""
    y, x = np.mgrid[:SPRITE_HEIGHT, :SPRITE_WIDTH]
    return {
        "plain": x < 0, "stripes": x % 2 == 0, "spots": (x + 2 * y) % 4 == 0, "half": y >= 5,
    }[pattern]
