"""Concept files that are wrong are refused, each with a sentence of its own."""

from __future__ import annotations

import pickle
import re
import zipfile

import pytest
import torch

from builders import fuzz_concept_file
from builders.concepts import small_concept
from perfusion_ops.concept.file import ConceptFileError, concept_bytes, load_concept, parse_concept
from perfusion_ops.files.strict_safetensors import pack


def with_header(change) -> bytes:
    header, payload = fuzz_concept_file.split(concept_bytes(small_concept(), "x", "fp32"))
    changed = change(header)
    return fuzz_concept_file.join(header if changed is None else changed, payload)


def with_metadata(**texts) -> bytes:
    return with_header(lambda h: h["__metadata__"].update({k.replace("_", ".", 1): v for k, v in texts.items()}))


def with_entry(name: str, **fields) -> bytes:
    return with_header(lambda header: header[name].update(fields))


def with_number(value: float) -> bytes:
    header, payload = fuzz_concept_file.split(concept_bytes(small_concept(), "x", "fp32"))
    return fuzz_concept_file.join(header, payload[:-4] + torch.tensor([value]).numpy().tobytes())


WHOLE = concept_bytes(small_concept(), "x", "fp32")
CASES = {
    "empty": (b"", "is 0 bytes long; expected a safetensors file"),
    "pickle": (pickle.dumps({"a": 1}), "is a Python pickle under the name of a safetensors file"),
    "long header": (b"\xff" * 64, "announces a header of 18,446,744,073,709,551,615 bytes"),
    "cut in header": (WHOLE[:100], "ends inside its header"),
    "cut in payload": (WHOLE[:-4], "bytes of tensors; its header announces"),
    "extended": (WHOLE + b"\0" * 4, "bytes of tensors; its header announces"),
    "no JSON": (with_header(lambda h: "{,}"), "header that is not JSON"),
    "nested": (with_header(lambda h: '{"a":' + "[" * 30_000), "header that is not JSON"),
    "list": (with_header(lambda h: "[1, 2]  "), "header that is not JSON"),
    "twice": (with_header(lambda h: '{"a":1,"a":2}'), "has the name 'a' twice in its header"),
    "long integer": (with_header(lambda h: '{"a":' + "9" * 5000 + "}"), "an integer of 5000 digits"),
    "float": (with_header(lambda h: '{"a":1.5}'), "has the number '1.5' in its header"),
    "NaN": (with_header(lambda h: '{"a":NaN}'), "has the number 'NaN' in its header"),
    "metadata": (with_header(lambda h: h.update(__metadata__={"a": 1})), "metadata that is not text"),
    "entry": (with_header(lambda h: h.update(extra=1)), "describes tensor 'extra' by other fields"),
    "dtype": (with_entry("encodings", dtype="BF16"), "the dtype 'BF16'; expected one of"),
    "wrong dtype": (
        with_entry("encodings", dtype="F16", shape=[6, 12]),
        "'encodings' of F16 [6, 12]; expected F32 [3, 12]",
    ),
    "shape": (with_entry("encodings", shape=[3, -12]), "the shape [3, -12]; expected 1 to 3 sizes above 0"),
    "boolean": (with_entry("encodings", shape=[True, 36]), "the shape [True, 36]"),
    "wrong shape": (with_entry("encodings", shape=[4, 9]), "'encodings' of F32 [4, 9]; expected F32 [3, 9]"),
    "size": (with_entry("encodings", shape=[3, 13]), "places tensor 'encodings' (F32 [3, 13], 156 bytes)"),
    "offsets": (with_entry("encodings", data_offsets=[0]), "the offsets [0]; expected two integers"),
    "overlap": (with_entry("word_embedding.l", data_offsets=[0, 36]), "overlaps the tensor before it"),
    "gap": (with_header(lambda h: h.pop("encodings") and None), "leaves a gap before it"),
    "missing": (pack({"x": torch.ones(1)}, {}), "no concept (it has no 'perfusion.format')"),
    "version": (with_metadata(perfusion_format="2"), "has concept format '2'; this version reads format 1. Update"),
    "superclass": (with_metadata(perfusion_superclass=""), "lacks the concept's superclass"),
    "word": (with_metadata(modelspec_trigger_phrase=""), "lacks the concept's word"),
    "long text": (with_metadata(modelspec_author="x" * 65), "has 65 bytes of author; expected at most 64"),
    "control": (with_metadata(modelspec_author="\x1b[31m"), "control characters in its author"),
    "many layers": (with_metadata(perfusion_layers="{0-9999}.{0-9999}"), "names more than 1024 layers"),
    "layer twice": (with_metadata(perfusion_layers="a a b"), "names a layer twice"),
    "layer pattern": (with_metadata(perfusion_layers="a.{3-1}"), "has '{3-1}' in its layer table"),
    "widths": (with_metadata(perfusion_widths="5x2"), "gives 2 widths for 3 layers"),
    "width": (with_metadata(perfusion_widths="-5x3"), "has '-5x3' among its layer widths"),
    "layer sum": (with_metadata(perfusion_widths="6x3"), "'value_residuals' of F32 [17]; expected F32 [18]"),
    "unknown tensor": (with_header(lambda h: h.update(other=h.pop("encodings"))), "lacks the tensor 'encodings'"),
    "not finite": (with_number(float("nan")), "values that are not finite in tensor"),
    "infinite": (with_number(float("inf")), "values that are not finite in tensor"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_violation_has_its_own_sentence(case, tmp_path):
    data, sentence = CASES[case]
    path = tmp_path / "rex.safetensors"
    path.write_bytes(data)
    with pytest.raises(ConceptFileError, match=re.escape(sentence)) as caught:
        load_concept(path)
    assert str(caught.value).startswith("'rex.safetensors' ") and str(caught.value).endswith(".")


def test_the_file_that_the_violations_start_from_is_whole():
    assert parse_concept(WHOLE, "x").word == "<rex>"
    assert parse_concept(with_header(lambda header: None), "x").word == "<rex>"


def test_torch_archives_are_refused_by_name(tmp_path):
    path = tmp_path / "rex.safetensors"
    torch.save({"a": torch.ones(3)}, path)
    assert zipfile.is_zipfile(path)
    with pytest.raises(ConceptFileError, match="is a zip archive, such as torch.save writes"):
        load_concept(path)


def test_a_header_whose_length_looks_like_a_pickle_is_read():
    for length in range(400, 1000):
        data = concept_bytes(small_concept(metadata={"note": "x" * length}), "x")
        if data[0] == 0x80:
            break
    assert data[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
    assert parse_concept(data, "x").word == "<rex>"


def test_files_that_are_not_there_or_not_files_are_refused(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(ConceptFileError, match="is not a file; expected an existing .safetensors file"):
            load_concept(path)


def test_a_concept_without_energy_is_refused():
    concept = small_concept()
    data = bytearray(concept_bytes(concept, "x", "fp32"))
    dual = concept.target_dual.numpy().tobytes()
    place = data.index(dual)
    data[place : place + len(dual)] = (-concept.target_dual).numpy().tobytes()
    with pytest.raises(ConceptFileError, match="holds no valid concept. The concept '<rex>' has energy -"):
        parse_concept(bytes(data), "x")
