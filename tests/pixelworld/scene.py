"""Scenes, individuals and the renderer."""
from dataclasses import dataclass, field, replace

import numpy as np

from . import art
from .known import known_looks
from .traits import Traits, sample_traits


@dataclass(frozen=True)
class Individual:
    """One concept: a class and its unnamed traits. Its training pictures share place and position."""

    class_word: str
    traits: Traits
    place: str
    position: str


@dataclass(frozen=True)
class Figure:
    """A sprite standing in a scene."""

    class_word: str
    traits: Traits
    position: str
    accessory: str | None = None
    jitter: tuple[int, int] = (0, 0)
    """(columns, rows), each 0 or 1."""


@dataclass(frozen=True)
class Scene:
    """Everything that decides a picture's pixels."""

    figures: tuple[Figure, ...]
    place: str
    variant: int = 0
    object: str | None = None
    object_colour: str | None = None
    object_left: bool = False
    """The side the second object stands on, away from the figure unless that is in the middle."""
    width: int = art.SIZE
    """Columns of the picture; art.WIDE has room for three figures."""


@dataclass
class Canvas:
    """Pixels (16, W, 3), per figure the mask of its visible body cells (16, W), and the masks of the accessories."""

    pixels: np.ndarray
    body_masks: list[np.ndarray] = field(default_factory=list)
    accessory_masks: list[np.ndarray] = field(default_factory=list)


def sample_individual(seed: int, class_word: str | None = None) -> Individual:
    """The individual of a seed, none that the world knows; `class_word` fixes its class and leaves the rest to it."""
    rng = np.random.RandomState(seed)
    drawn = str(rng.choice(list(art.SPRITES)))
    class_word = class_word or drawn
    traits = sample_traits(rng)
    place, position = str(rng.choice(list(art.PLACES))), str(rng.choice(list(art.POSITIONS)))
    while (class_word, traits) in known_looks():
        traits = sample_traits(rng)
    return Individual(class_word, traits, place, position)


def sprite_layers(class_word: str, traits: Traits) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A sprite as colours (8, 7, 3), opaque cells (8, 7) and body cells (8, 7), those that carry traits."""
    cells = np.array([list(row) for row in art.SPRITES[class_word]])
    first, second = art.BODY_COLOURS[traits.first], art.BODY_COLOURS[traits.second]
    colours = np.zeros((*cells.shape, 3), np.float32)
    plain = np.isin(cells, list("1mn"))
    colours[plain] = first
    colours[(plain & art.pattern_cells(traits.pattern)) | (cells == "2")] = second
    for mark, slot in (("badge", "m"), ("blaze", "n")):
        if traits.mark == mark:
            colours[cells == slot] = art.MARK_INK
    for ink, colour in art.INKS.items():
        colours[cells == ink] = colour
    return colours, cells != ".", np.isin(cells, list("12mn"))


def stamp(picture: np.ndarray, rows: tuple[str, ...], left: int, top: int, colour: tuple | None = None) -> np.ndarray:
    """Draws an inked sprite in place; returns the mask (16, W) of the cells it covered. `c` cells take `colour`."""
    covered = np.zeros(picture.shape[:2], bool)
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            if cell != "." and 0 <= top + y < picture.shape[0] and 0 <= left + x < picture.shape[1]:
                picture[top + y, left + x] = colour if cell == "c" else art.INKS[cell]
                covered[top + y, left + x] = True
    return covered


def figure_corner(figure: Figure, width: int) -> tuple[int, int]:
    """(left, top) of the sprite in a picture of `width` columns."""
    return art.left_edges(width)[figure.position] + figure.jitter[0], 6 + figure.jitter[1]


def accessory_corner(class_word: str, accessory: str, left: int, top: int) -> tuple[int, int]:
    """(left, top) of an accessory on the head of a sprite at (left, top)."""
    column, row = art.HEAD_TOPS[class_word]
    return left + column - 2, top + row - len(art.ACCESSORIES[accessory])


def draw_figure(canvas: Canvas, figure: Figure) -> None:
    """Draws the sprite and its accessory; adds the mask of the body that stays visible."""
    left, top = figure_corner(figure, canvas.pixels.shape[1])
    colours, opaque, body = sprite_layers(figure.class_word, figure.traits)
    window = (slice(top, top + art.SPRITE_HEIGHT), slice(left, left + art.SPRITE_WIDTH))
    canvas.pixels[window][opaque] = colours[opaque]
    mask = np.zeros(canvas.pixels.shape[:2], bool)
    mask[window] = body
    if figure.accessory:
        corner = accessory_corner(figure.class_word, figure.accessory, left, top)
        canvas.accessory_masks.append(stamp(canvas.pixels, art.ACCESSORIES[figure.accessory], *corner))
        mask &= ~canvas.accessory_masks[-1]
    canvas.body_masks.append(mask)


def draw(scene: Scene) -> Canvas:
    """The scene's pixels together with its figures' masks."""
    canvas = Canvas(art.background(scene.place, scene.variant, scene.width))
    if scene.object:
        left = 0 if scene.object_left else scene.width - 4
        colour = art.NAMED_COLOURS[scene.object_colour]
        stamp(canvas.pixels, art.OBJECTS[scene.object], left, art.OBJECT_ROWS[scene.object], colour)
    for figure in scene.figures:
        draw_figure(canvas, figure)
    return canvas


def render(scene: Scene) -> np.ndarray:
    """The scene as (16, W, 3) float32 in [0, 1]."""
    return draw(scene).pixels


def soft_mask(mask: np.ndarray) -> np.ndarray:
    """A subject mask as a segmenter gives it: 1 inside, falling to 0 over one pixel around (16, 16)."""
    padded = np.pad(mask.astype(np.float32), 1)
    neighbours = [padded[1 + dy:17 + dy, 1 + dx:17 + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return np.maximum(mask, 0.5 * np.max(neighbours, axis=0)).astype(np.float32)


@dataclass(frozen=True)
class TrainingPicture:
    """A snapshot: pixels (16, 16, 3), soft subject mask (16, 16), and a caption with `{}` for the individual's word."""

    pixels: np.ndarray
    mask: np.ndarray
    caption: str
    scene: Scene


def training_pictures(individual: Individual, n: int = 5, seed: int = 0) -> list[TrainingPicture]:
    """Snapshots of one individual, all in one place and position; only shifts of a pixel and the texture differ."""
    rng = np.random.RandomState(seed)
    figure = Figure(individual.class_word, individual.traits, individual.position)
    pictures = []
    for index in rng.permutation(4 * art.VARIANTS)[:n]:
        moved = replace(figure, jitter=(int(index) % 2, int(index) // 2 % 2))
        scene = Scene((moved,), individual.place, int(index) // 4)
        canvas = draw(scene)
        pictures.append(TrainingPicture(canvas.pixels, soft_mask(canvas.body_masks[0]), "a photo of a {}", scene))
    return pictures
