"""Safetensors from strangers: a file that does not say exactly what it holds is refused with a sentence of its own."""

from __future__ import annotations

import pickle
import zipfile

import pytest
import torch

from builders.broken_files import WHOLE, assert_refused, with_entry, with_header, with_number
from builders.concepts import small_concept
from perfusion_ops.concept.file import ConceptFileError, concept_bytes, load_concept, parse_concept

BF16 = {"encodings": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}
CASES = {
    "empty": (b"", "is 0 bytes long; expected a safetensors file"),
    "pickle": (pickle.dumps({"a": 1}), "is a Python pickle under the name of a safetensors file"),
    "a web page": (b"<!doctype html><p>404", "is a text that begins with '<!doctype html><p>404', such as a web page"),
    "a LoRA": ((80_000).to_bytes(8, "little") + b"{" + b" " * 80_000, "has a header of 80,000 bytes; expected at most"),
    "another small model": (with_header(lambda h: BF16), "is a safetensors file, but no concept"),
    "a later format": (
        with_header(lambda h: {**BF16, "__metadata__": {"perfusion.format": "9"}}),
        "has concept format '9'; this version reads formats 1 and 2. Update this pack",
    ),
    "2**60": ((2**60).to_bytes(8, "little") + b"{" * 56, "announces a header of 1,152,921,504,606,846,976 bytes"),
    "long header": (b"\xff" * 64, "announces a header of 18,446,744,073,709,551,615 bytes"),
    "cut in header": (WHOLE[:100], "ends inside its header"),
    "cut in payload": (WHOLE[:-4], "bytes of tensors; its header announces"),
    "extended": (WHOLE + b"\0" * 4, "bytes of tensors; its header announces"),
    "metadata": (with_header(lambda h: h.update(__metadata__={"a": 1})), "metadata that is not text"),
    "entry": (with_header(lambda h: h.update(extra=1)), "describes tensor 'extra' by other fields"),
    "dtype": (with_entry("encodings", dtype="BF16"), "the dtype 'BF16'; expected one of"),
    "shape": (with_entry("encodings", shape=[3, -12]), "the shape [3, -12]; expected 1 to 3 sizes above 0"),
    "boolean": (with_entry("encodings", shape=[True, 36]), "the shape [True, 36]"),
    "size": (with_entry("encodings", shape=[3, 13]), "places tensor 'encodings' (F32 [3, 13], 156 bytes)"),
    "offsets": (with_entry("encodings", data_offsets=[0]), "the offsets [0]; expected two integers"),
    "overlap": (with_entry("word_embedding.l", data_offsets=[0, 36]), "overlaps the tensor before it"),
    "gap": (with_header(lambda h: h.pop("encodings") and None), "leaves a gap before it"),
    "not finite": (with_number(float("nan")), "values that are not finite in tensor"),
    "infinite": (with_number(float("inf")), "values that are not finite in tensor"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_does_not_say_exactly_what_it_holds_is_refused(case, tmp_path):
    """A damaged download is named by what is wrong with it, before any of its numbers is used."""
    assert_refused(*CASES[case], tmp_path)


def test_torch_archives_are_refused_by_name(tmp_path):
    """A file that could run a program when it is opened stays closed."""
    path = tmp_path / "rex.safetensors"
    torch.save({"a": torch.ones(3)}, path)
    assert zipfile.is_zipfile(path)
    with pytest.raises(ConceptFileError, match="is a zip archive, such as torch.save writes"):
        load_concept(path)


def test_a_header_whose_length_looks_like_a_pickle_is_read():
    """A good concept is not refused because its length happens to begin as a pickle does."""
    for length in range(400, 1000):
        data = concept_bytes(small_concept(metadata={"note": "x" * length}), "x")
        if data[0] == 0x80:
            break
    assert data[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
    assert parse_concept(data, "x").word == "<rex>"


def test_files_that_are_not_there_or_not_files_are_refused(tmp_path):
    """A concept that was moved or deleted is named."""
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(ConceptFileError, match="is not a file; expected an existing .safetensors file"):
            load_concept(path)
