"""Layer names and widths as two short texts: the 70 names and widths of SDXL in 254 bytes.

Names: patterns parted by spaces, where ``{0-2,5}`` stands for each of these numbers; a first ``*.attn2`` ends every
pattern after it. Widths: ``320x2 640x2``, run lengths in the natural order of the expanded names, in which numbers
compare as numbers.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping

from ..files.strict_json import FormatError, shown

MAX_LAYERS = 1024
MAX_WIDTH = 65_536
_NUMBER = re.compile(r"0|[1-9][0-9]{0,4}")
_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}")
_RUN = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,3})")
Numbers = tuple[int, ...]


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key by which ``blocks.2`` comes before ``blocks.10``."""
    return tuple((0, int(part), "") if _NUMBER.fullmatch(part) else (1, 0, part) for part in name.split("."))


def encode_layers(widths: Mapping[str, int]) -> tuple[str, str]:
    """Layer name -> width, as (names, widths). Raises FormatError for a name that no pattern can hold."""
    names = sorted(widths, key=natural_key)
    groups: dict[tuple[str | None, ...], list[Numbers]] = {}
    for name in names:
        parts = name.split(".")
        if not all(_WORD.fullmatch(part) for part in parts):
            raise FormatError(f"cannot hold the layer name {shown(name)}; expected letters, digits, '_', '-' and dots.")
        template = tuple(None if _NUMBER.fullmatch(part) else part for part in parts)
        groups.setdefault(template, []).append(tuple(int(p) for p in parts if _NUMBER.fullmatch(p)))
    patterns = [_fill(template, product) for template, rows in groups.items() for product in _products(rows)]
    runs = [(width, len(list(run))) for width, run in itertools.groupby(widths[name] for name in names)]
    return " ".join(_with_ending(patterns)), " ".join(f"{width}x{count}" for width, count in runs)


def decode_layers(names: str, widths: str) -> dict[str, int]:
    """The inverse: layer name -> width in natural order. Raises FormatError; expands at most ``MAX_LAYERS`` names."""
    layers: list[str] = []
    patterns = names.split(" ")
    ending = patterns.pop(0)[1:] if names.startswith("*.") else ""
    for pattern in patterns:
        choices = [_parse_part(part) for part in f"{pattern}{ending}".split(".")]
        if len(layers) + math.prod(sum(map(len, choice)) for choice in choices) > MAX_LAYERS:
            raise FormatError(f"names more than {MAX_LAYERS} layers; expected fewer. Save the concept again.")
        expanded = [[str(value) for span in choice for value in span] for choice in choices]
        layers += [".".join(parts) for parts in itertools.product(*expanded)]
    if len(set(layers)) != len(layers):
        raise FormatError("names a layer twice in its layer table; expected each once. Save the concept again.")
    runs = [_parse_run(run) for run in widths.split(" ")]
    if sum(count for _, count in runs) != len(layers):
        raise FormatError(
            f"gives {sum(count for _, count in runs)} widths for {len(layers)} layers; expected as many. "
            "Save the concept again."
        )
    flat = itertools.chain.from_iterable([width] * count for width, count in runs)
    return dict(zip(sorted(layers, key=natural_key), flat, strict=True))


def _products(rows: list[Numbers]) -> list[tuple[list[int], ...]]:
    """``rows`` as few Cartesian products: rows that differ in one number only are merged."""
    if not rows[0]:
        return [()]
    tails: dict[int, list[Numbers]] = {}
    for row in rows:
        tails.setdefault(row[0], []).append(row[1:])
    merged: dict[tuple[Numbers, ...], list[int]] = {}
    for first, rest in tails.items():
        merged.setdefault(tuple(rest), []).append(first)
    return [(firsts, *product) for rest, firsts in merged.items() for product in _products(list(rest))]


def _with_ending(patterns: list[str]) -> list[str]:
    """``a.1.x b.1.x`` -> ``*.1.x a b``: the parts that all patterns end with, once and first."""
    ending: list[str] = []
    rest = [pattern.split(".") for pattern in patterns]
    while len(rest) > 1 and min(map(len, rest)) > 1 and len({parts[-1] for parts in rest}) == 1:
        ending.insert(0, rest[0][-1])
        rest = [parts[:-1] for parts in rest]
    shortened = [".".join(parts) for parts in rest]
    return [".".join(["*", *ending]), *shortened] if ending else patterns


def _fill(template: tuple[str | None, ...], product: Iterable[list[int]]) -> str:
    numbers = iter(product)
    return ".".join(_spans(next(numbers)) if part is None else part for part in template)


def _spans(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return str(numbers[0])
    spans = []
    for _, group in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        spans.append(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}")
    return f"{{{','.join(spans)}}}"


def _parse_part(part: str) -> list[range] | list[list[str]]:
    if _WORD.fullmatch(part):
        return [[part]]
    ends = [span.split("-") for span in part[1:-1].split(",")]
    numbers = all(1 <= len(pair) <= 2 and all(_NUMBER.fullmatch(end) for end in pair) for pair in ends)
    if not (part[:1] + part[-1:] == "{}" and numbers and all(int(pair[0]) <= int(pair[-1]) for pair in ends)):
        raise FormatError(f"has {shown(part)} in its layer table; expected a name or '{{0-2,5}}'. Save it again.")
    return [range(int(pair[0]), int(pair[-1]) + 1) for pair in ends]


def _parse_run(run: str) -> tuple[int, int]:
    match = _RUN.fullmatch(run)
    if not match or int(match[1]) > MAX_WIDTH:
        raise FormatError(f"has {shown(run)} among its layer widths; expected such as '320x2'. Save it again.")
    return int(match[1]), int(match[2])
