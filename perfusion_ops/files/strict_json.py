"""JSON that is not trusted: the header of a safetensors file, and the errors for it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

MAX_INTEGER_DIGITS = 12
DAMAGED = "The file is damaged: copy, download or save it again."


class FormatError(ValueError):
    """What is wrong with a file: the rest of a sentence that starts with the file's name."""


def compact_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def parse_json(text: bytes) -> dict[str, Any]:
    """A JSON object without duplicate names, floats or long integers. Raises FormatError."""
    try:
        if not text.startswith(b"{"):
            raise ValueError
        fields = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_int=_bounded_integer,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except FormatError:
        raise
    except (ValueError, RecursionError):
        raise FormatError(
            f"has a header that is not JSON; expected the header of a safetensors file. {DAMAGED}"
        ) from None
    return fields


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise FormatError(f"has the name {shown(twice)} twice in its header; expected each name once. {DAMAGED}")
    return fields


def _bounded_integer(digits: str) -> int:
    if len(digits) > MAX_INTEGER_DIGITS:
        raise FormatError(f"has an integer of {len(digits)} digits in its header. {DAMAGED}")
    return int(digits)


def _refuse_number(text: str) -> NoReturn:
    raise FormatError(f"has the number {shown(text)} in its header; expected integers only. {DAMAGED}")


def shown(value: Any) -> str:
    """``value`` as an error message may show it: short and printable."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
