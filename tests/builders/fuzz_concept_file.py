"""Break concept files and load them: `python tests/builders/fuzz_concept_file.py --cases 1000000 [--seed 0]`.

A case passes when loading gives a concept that is whole, or raises ConceptFileError with a sentence; never anything
else, and never more memory than ``MAX_PYTHON_BYTES`` beside the tensors.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import struct
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path += [str(folder) for folder in Path(__file__).resolve().parents[1:3]]

import torch

from builders.concepts import random_concept
from perfusion_ops.concept.concept import Concept
from perfusion_ops.concept.file import ConceptFileError, concept_bytes, parse_concept

NAME = "fuzzed.safetensors"
MAX_PYTHON_BYTES = 8 * 1024 * 1024
"""Python's own peak for one file of a few kilobytes: a header of 64 KiB makes at most this many bytes of objects."""
TRACED_EVERY = 20
LAYERS = {
    "input_blocks.1.1.transformer_blocks.0.attn2": 6,
    "input_blocks.2.1.transformer_blocks.0.attn2": 6,
    "middle_block.1.transformer_blocks.0.attn2": 10,
    "output_blocks.11.1.transformer_blocks.0.attn2": 3,
}
TEXTS = ["", "1", "2", "<rex>", "\x00", "\n", "\ud800", "é" * 50, "\u202e", "9" * 5000, "{", "a" * 70_000, "🐕" * 300]
TABLES = [
    "{0-99999}",
    "*.",
    "*.a",
    "*.a b *.c",
    "{0-9}.{0-9}.{0-9}.{0-9}",
    "{5-2}",
    "{}",
    "a..b",
    "a b",
    "{1,1}",
    "{1-}",
    "a.{0-2",
    "a  b",
    " ",
]
WIDTHS = ["6x2", "0x4", "99999x4", "6x9999", "x", "6x2 10x1 3x1 ", "25x1", "6x4", "70000x1"]
VALUES: list[Any] = [-1, 0, 1, 2**31, 2**63, 10**40, True, None, 1.5, math.nan, math.inf, "1", [], {}, [[1]]]
DTYPES = ["F64", "I64", "F32", "F16", "BF16", "I8", "U8", "BOOL", "", "f16", 3, None]


def base_files() -> list[bytes]:
    """Whole concept files: each precision, with and without key residuals and metadata."""
    metadata = {"date": "2026-11-23", "description": "two\nlines", "encoder": "l:0123456789abcdef"}
    plain = random_concept(LAYERS, 8, {"l": 7}, metadata=metadata)
    keyed = random_concept(LAYERS, 5, {"l": 7, "g": 130}, keys=True)
    return [concept_bytes(c, NAME, precision) for c in (plain, keyed) for precision in ("fp32", "fp16", "int8")]


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def join(header: dict[str, Any] | str, payload: bytes, ensure_ascii: bool = True) -> bytes:
    text = header if isinstance(header, str) else json.dumps(header, ensure_ascii=ensure_ascii)
    raw = text.encode("utf-8", "surrogatepass")
    raw += b" " * (-len(raw) % 8)
    return struct.pack("<Q", len(raw)) + raw + payload


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def cut_or_extend(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data))
    junk = rng.randbytes(rng.choice((1, 8, 100)))
    return rng.choice((data[:place], data + junk, data[:place] + junk + data[place:], data[:place] + data[place + 8 :]))


def change_length(data: bytes, rng: random.Random) -> bytes:
    true = int.from_bytes(data[:8], "little")
    length = rng.choice((0, 1, 8, true - 8, true + 8, 2**16, 2**16 + 8, 2**63, 2**64 - 8, rng.randrange(2**32)))
    return struct.pack("<Q", length) + data[8:]


def change_entry(data: bytes, rng: random.Random) -> bytes:
    header, payload = split(data)
    name = rng.choice([key for key in header if key != "__metadata__"])
    entry = header[name]
    field = rng.choice(("dtype", "shape", "data_offsets", "whole"))
    if field == "whole":
        header[name] = rng.choice([*VALUES, {**entry, "extra": 1}, {"dtype": "F32"}])
    elif field == "dtype":
        entry["dtype"] = rng.choice(DTYPES)
    else:
        numbers = entry[field]
        numbers[rng.randrange(len(numbers))] = rng.choice(
            [*VALUES, *(n + rng.choice((-8, -2, -1, 1, 2)) for n in numbers)]
        )
        entry[field] = rng.choice((numbers, numbers, numbers, numbers[::-1], numbers * 2, numbers[:1]))
    return join(header, payload, rng.random() < 0.5)


def change_names(data: bytes, rng: random.Random) -> bytes:
    header, payload = split(data)
    names = [key for key in header if key != "__metadata__"]
    name = rng.choice(names)
    entry = header.pop(name)
    if rng.random() < 0.7:
        header[rng.choice([*names, *TEXTS, "key_residuals", "scales", "word_embedding.h", "word_embedding."])] = entry
    if rng.random() < 0.3:
        payload = payload[: entry["data_offsets"][0]] + payload[entry["data_offsets"][1] :]
    return join(header, payload)


def change_metadata(data: bytes, rng: random.Random) -> bytes:
    header, payload = split(data)
    metadata = header["__metadata__"]
    key = rng.choice(list(metadata))
    action = rng.randrange(6)
    if action == 0:
        del metadata[key]
    elif action == 1:
        header["__metadata__"] = rng.choice(VALUES)
    elif action == 2:
        metadata[rng.choice(["perfusion.new", "perfusion.Bad key", "other", "modelspec.author", "perfusion.word"])] = (
            rng.choice(TEXTS)
        )
    elif action == 3:
        metadata["perfusion.layers"] = rng.choice([*TABLES, metadata["perfusion.layers"] + rng.choice(TABLES)])
    elif action == 4:
        metadata["perfusion.widths"] = rng.choice(WIDTHS)
    else:
        metadata[key] = rng.choice([*TEXTS, *VALUES])
    return join(header, payload, rng.random() < 0.5)


def rewrite_header(data: bytes, rng: random.Random) -> bytes:
    header, payload = split(data)
    text = json.dumps(header)
    depth = rng.choice((3, 500, 5_000, 20_000))
    wide = "[" + "[]," * depth + "[]]"
    nested = rng.choice(("[" * depth, "[" * depth + "]" * depth, '{"a":' * (depth // 4) + "1" + "}" * depth, wide))
    inserted = rng.choice(('"encodings":{},', '"__metadata__":{},', f'"x":{nested},', '"x":' + "9" * 4_000 + ",", ","))
    changed = rng.choice(
        (
            "{" + inserted + text[1:],
            nested,
            text[:-1],
            " " + text,
            text.replace("[", "[" + rng.choice(("1e5,", "-0,", "NaN,", "0x1,", "Infinity,", "1.0,")), 1),
            text.replace('"', rng.choice(("'", "", '\\"')), rng.randrange(1, 9)),
            "\ufeff" + text,
        )
    )
    return join(changed, payload)


def change_numbers(data: bytes, rng: random.Random) -> bytes:
    header, payload = split(data)
    damaged = bytearray(payload)
    begin, end = rng.choice([e["data_offsets"] for key, e in header.items() if key != "__metadata__"])
    pattern = rng.choice(
        (b"\x00\x7c", b"\x00\x7e", b"\x00\xfc", b"\x00\x00\x80\x7f", b"\xff\xff\xff\xff", b"\0\0", b"\x80\x80")
    )
    for place in range(begin, end - len(pattern) + 1, rng.choice((2, 4, 64))):
        damaged[place : place + len(pattern)] = pattern
    return join(header, bytes(damaged))


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flip_bits,
    cut_or_extend,
    change_length,
    change_entry,
    change_names,
    change_metadata,
    rewrite_header,
    change_numbers,
)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Damage a whole file; one time in five, twice."""
    mutated = rng.choice(MUTATIONS)(data, rng)
    return flip_bits(mutated, rng) if mutated and rng.random() < 0.2 else mutated


def assert_whole(concept: Concept, data: bytes) -> None:
    tensors = [concept.target_input, concept.target_dual, concept.superclass_encoding]
    tensors += [*concept.word_embeddings.values(), *concept.value_residuals.values(), *concept.key_residuals.values()]
    assert all(t.dtype == torch.float32 and t.ndim == 1 and torch.isfinite(t).all() for t in tensors)
    assert concept.word and concept.superclass and concept.base_family and concept.word_embeddings
    assert len({t.shape for t in tensors[:3]}) == 1
    assert all(isinstance(key, str) and isinstance(text, str) for key, text in concept.metadata.items())
    shapes = {name: residual.shape for name, residual in concept.value_residuals.items()}
    assert not concept.key_residuals or {n: r.shape for n, r in concept.key_residuals.items()} == shapes
    # int8 widens four times; nothing may come out of a file that is not in it.
    assert 4 * sum(t.numel() for t in tensors) <= 4 * len(data)


def check_case(data: bytes) -> str:
    """``loaded`` or ``refused``; anything else is raised."""
    try:
        concept = parse_concept(data, NAME)
    except ConceptFileError as error:
        sentence = str(error)
        assert sentence.startswith(f"{NAME!r} ") and sentence.endswith(".") and len(sentence) < 600, sentence
        return "refused"
    assert_whole(concept, data)
    return "loaded"


def fuzz(cases: int, seed: int) -> tuple[Counter[str], int]:
    """Outcomes of ``cases`` broken files, and the peak of Python's memory in bytes over the cases that were traced."""
    rng, bases, peak = random.Random(seed), base_files(), 0
    outcomes: Counter[str] = Counter()
    for case in range(cases):
        data = mutate(rng.choice(bases), rng)
        traced = case % TRACED_EVERY == 0
        if traced:
            tracemalloc.start()
        try:
            outcomes[check_case(data)] += 1
        except Exception as error:
            raise AssertionError(f"case {case} of seed {seed}, a file of {len(data)} bytes") from error
        finally:
            if traced:
                peak = max(peak, tracemalloc.get_traced_memory()[1])
                tracemalloc.stop()
        assert peak <= MAX_PYTHON_BYTES, f"case {case} took {peak} bytes"
    return outcomes, peak


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    counts, most = fuzz(options.cases, options.seed)
    print(f"{options.cases} cases: {counts['refused']} refused, {counts['loaded']} loaded, peak {most} bytes")
