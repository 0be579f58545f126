"""A small concept file, and the same with one thing wrong; and what must be said of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from builders import fuzz_concept_file
from builders.concepts import small_concept
from perfusion_ops.concept.file import ConceptFileError, concept_bytes, load_concept

WHOLE = concept_bytes(small_concept(), "x", "fp32")


def with_header(change) -> bytes:
    """The file with ``change(header)``, a dictionary changed in place or a new header, in place of its header."""
    header, payload = fuzz_concept_file.split(WHOLE)
    changed = change(header)
    return fuzz_concept_file.join(header if changed is None else changed, payload)


def with_metadata(**texts: str) -> bytes:
    """``perfusion_word="x"`` sets the text of ``perfusion.word``."""
    return with_header(lambda h: h["__metadata__"].update({k.replace("_", ".", 1): v for k, v in texts.items()}))


def with_entry(name: str, **fields) -> bytes:
    return with_header(lambda header: header[name].update(fields))


def with_number(value: float) -> bytes:
    """The file with ``value`` for its last number."""
    header, payload = fuzz_concept_file.split(WHOLE)
    return fuzz_concept_file.join(header, payload[:-4] + torch.tensor([value]).numpy().tobytes())


def assert_refused(data: bytes, sentence: str, folder: Path) -> None:
    """Loading ``data`` from a file fails with one sentence that names the file and holds ``sentence``."""
    path = folder / "rex.safetensors"
    path.write_bytes(data)
    with pytest.raises(ConceptFileError, match=re.escape(sentence)) as caught:
        load_concept(path)
    assert str(caught.value).startswith("'rex.safetensors' ") and str(caught.value).endswith(".")
