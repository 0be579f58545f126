"""Safetensors files that are not trusted: the whole header is checked before a tensor is made.

Stricter than the format asks: a header of at most 64 KiB, no duplicate keys, no unknown fields, tensors that cover the
payload exactly, aligned and in order, and finite values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .strict_json import DAMAGED, FormatError, compact_json, parse_json, shown

MAX_HEADER_BYTES = 64 * 1024
MAX_DIMENSIONS = 3
DTYPES = {
    "F64": torch.float64,
    "I64": torch.int64,
    "F32": torch.float32,
    "F16": torch.float16,
    "I8": torch.int8,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Entry:
    """One tensor as the header announces it."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int
    """Bytes from the start of the payload."""

    @property
    def described(self) -> str:
        return f"{NAMES[self.dtype]} {list(self.shape)}"


@dataclass(frozen=True)
class Header:
    """A checked header: it describes a payload of exactly the bytes that follow it."""

    metadata: Mapping[str, str]
    entries: Mapping[str, Entry]
    payload: int
    """Where the payload starts, in bytes from the start of the file."""


def pack(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file as bytes: the same content gives the same bytes, whatever the order of the mappings."""
    # Wide dtypes first keep every tensor aligned without gaps.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    payload = bytearray()
    for name in names:
        tensor = tensors[name].detach().cpu().contiguous()
        begin = len(payload)
        payload += tensor.numpy().tobytes()
        header[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, len(payload)],
        }
    text = compact_json(header)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + bytes(payload)


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file of at most ``max_bytes``. Raises FormatError."""
    try:
        if not path.is_file():
            raise FormatError("is not a file; expected an existing .safetensors file. Correct its name or folder.")
        with open(path, "rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise FormatError(f"cannot be read ({error.strerror}). Check the file's permissions and its disk.") from error
    if len(data) > max_bytes:
        raise FormatError(
            f"is {path.stat().st_size:,} bytes long; expected at most {max_bytes:,}. It is probably a LoRA or a "
            "checkpoint: load it with its own loader."
        )
    return data


def read_header(data: bytes, check_metadata: Callable[[Mapping[str, str]], None] = lambda metadata: None) -> Header:
    """Check everything but the numbers. Raises FormatError.

    ``check_metadata`` may refuse a file for what it says of itself, before its tensors are found to be of another kind.
    """
    _refuse_pickle(data)
    _refuse_text(data)
    if len(data) < 10:
        raise FormatError(f"is {len(data)} bytes long; expected a safetensors file. {DAMAGED}")
    length = int.from_bytes(data[:8], "little")
    if MAX_HEADER_BYTES < length < len(data) and data[8:9] == b"{":
        raise FormatError(
            f"has a header of {length:,} bytes; expected at most {MAX_HEADER_BYTES:,}. It is probably a LoRA or a "
            "checkpoint: load it with its own loader."
        )
    if length > MAX_HEADER_BYTES or length < 2 or length % 8:
        raise FormatError(
            f"announces a header of {length:,} bytes; expected a multiple of 8 up to {MAX_HEADER_BYTES:,}. {DAMAGED}"
        )
    payload = 8 + length
    if payload > len(data):
        raise FormatError(f"ends inside its header ({len(data)} of {payload} bytes). {DAMAGED}")
    fields = parse_json(data[8:payload])
    metadata = fields.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise FormatError(f"has metadata that is not text by name. {DAMAGED}")
    check_metadata(metadata)
    entries = {name: _entry(name, value) for name, value in fields.items()}
    _check_coverage(entries, len(data) - payload)
    return Header(metadata, entries, payload)


def read_tensors(data: bytes, header: Header) -> dict[str, Tensor]:
    """Copies of all tensors. Raises FormatError at the first value that is not finite."""
    buffer = bytearray(data)
    tensors = {}
    for name, entry in header.entries.items():
        tensor = torch.frombuffer(
            buffer, dtype=entry.dtype, count=math.prod(entry.shape), offset=header.payload + entry.begin
        )
        if not torch.isfinite(tensor).all():
            raise FormatError(
                f"holds values that are not finite in tensor {name!r}; expected numbers only. Its training diverged or "
                "the file is damaged: train or save it again."
            )
        tensors[name] = tensor.reshape(entry.shape).clone()
    return tensors


def _refuse_pickle(data: bytes) -> None:
    archive = data.startswith(b"PK\x03\x04")
    # A legal header length may begin with the same two bytes as a pickle; then zeros and a brace follow.
    pickle = data[:1] == b"\x80" and data[1:2] in b"\x02\x03\x04\x05" and data[3:9] != b"\0\0\0\0\0{"
    if archive or pickle:
        raise FormatError(
            f"is {'a zip archive, such as torch.save writes,' if archive else 'a Python pickle'} under the name of a "
            "safetensors file; expected safetensors. It could run any program when opened, so it stays closed: get a "
            ".safetensors file from its author."
        )


def _refuse_text(data: bytes) -> None:
    # The eight bytes of a legal header's length are never all letters.
    if len(data) >= 8 and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in data[:8]):
        raise FormatError(
            f"is a text that begins with {shown(data[:24].decode('latin-1'))}, such as a web page; expected a "
            f"safetensors file. {DAMAGED}"
        )


def _entry(name: str, value: Any) -> Entry:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise FormatError(f"describes tensor {shown(name)} by other fields than dtype, shape, data_offsets. {DAMAGED}")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise FormatError(f"gives tensor {shown(name)} the dtype {shown(dtype)}; expected one of {', '.join(DTYPES)}.")
    if not (_are_integers(shape) and 1 <= len(shape) <= MAX_DIMENSIONS and min(shape) >= 1):
        raise FormatError(f"gives tensor {shown(name)} the shape {shown(shape)}; expected 1 to 3 sizes above 0.")
    if not (_are_integers(offsets) and len(offsets) == 2):
        raise FormatError(f"gives tensor {shown(name)} the offsets {shown(offsets)}; expected two integers. {DAMAGED}")
    entry = Entry(DTYPES[dtype], tuple(shape), *offsets)
    size = math.prod(shape) * entry.dtype.itemsize
    if entry.begin < 0 or entry.end - entry.begin != size or entry.begin % entry.dtype.itemsize:
        raise FormatError(
            f"places tensor {shown(name)} ({entry.described}, {size} bytes) at bytes {shown(offsets)}; expected as "
            f"many bytes, aligned. {DAMAGED}"
        )
    return entry


def _are_integers(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int for value in values)


def _check_coverage(entries: Mapping[str, Entry], payload: int) -> None:
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].begin):
        if entry.begin != position:
            kind = "overlaps the tensor before it" if entry.begin < position else "leaves a gap before it"
            raise FormatError(f"has a tensor {shown(name)} that {kind}; expected none to. {DAMAGED}")
        position = entry.end
    if position != payload:
        raise FormatError(f"holds {payload} bytes of tensors; its header announces {position}. {DAMAGED}")
