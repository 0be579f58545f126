"""What a concept file must hold, and what none can: each violation is refused with a sentence of its own."""

from __future__ import annotations

import re

import pytest
import torch

from builders.broken_files import WHOLE, assert_refused, with_entry, with_header, with_metadata
from builders.concepts import small_concept
from perfusion_ops.concept.file import ConceptFileError, parse_concept, save_concept
from perfusion_ops.files.strict_safetensors import pack

CASES = {
    "wrong dtype": (
        with_entry("encodings", dtype="F16", shape=[6, 12]),
        "'encodings' of F16 [6, 12]; expected F32 [3, 12]",
    ),
    "wrong shape": (with_entry("encodings", shape=[4, 9]), "'encodings' of F32 [4, 9]; expected F32 [3, 9]"),
    "missing": (pack({"x": torch.ones(1)}, {}), "no concept (it has no 'perfusion.format')"),
    "version": (with_metadata(perfusion_format="3"), "has concept format '3'; this version reads formats 1 and 2"),
    "no gate": (with_metadata(perfusion_format="2"), "has the gate ''; this version reads 'position' in format 2"),
    "gate": (
        with_metadata(perfusion_format="2", perfusion_gate="colour"),
        "has the gate 'colour'; this version reads 'position' in format 2. Update",
    ),
    "encodings": (
        with_metadata(perfusion_format="2", perfusion_gate="position"),
        "lacks or should not have the tensors ['encodings', 'word_embedding.g', 'word_embedding.l']",
    ),
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
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_is_no_concept_of_this_version_is_refused(case, tmp_path):
    """A user learns what the file is and lacks, instead of drawing a wrong picture from it."""
    assert_refused(*CASES[case], tmp_path)


def test_the_file_that_the_violations_start_from_is_whole():
    """Negative control: the file that each violation changes is a good one."""
    assert parse_concept(WHOLE, "x").word == "<rex>"
    assert parse_concept(with_header(lambda header: None), "x").word == "<rex>"


def test_a_concept_without_energy_is_refused():
    """A concept whose parts do not belong together is refused; it would divide by zero or push its look away."""
    concept, data = small_concept(), bytearray(WHOLE)
    dual = concept.target_dual.numpy().tobytes()
    place = data.index(dual)
    data[place : place + len(dual)] = (-concept.target_dual).numpy().tobytes()
    with pytest.raises(ConceptFileError, match="holds no valid concept. The concept '<rex>' has energy -"):
        parse_concept(bytes(data), "x")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"word": "<\x00>"}, "control characters in its word"),
        ({"word": "<\ud800>"}, "control characters in its word"),
        ({"superclass": "x" * 65}, "65 bytes of superclass; expected at most 64"),
        ({"base_family": "SD 1"}, "model family 'SD 1'"),
        ({"metadata": {"description": "x" * 241}}, "241 bytes of description; expected at most 240"),
        ({"metadata": {"layers": "x"}}, "under the key 'layers'"),
        ({"metadata": {"a": "x" * 900, "b": "y" * 900}}, "bytes of metadata; expected at most"),
        ({"word_embeddings": {}}, "names the text encoders"),
        ({"word_embeddings": {"L": torch.ones(3)}}, "names the text encoders"),
        ({"value_residuals": {"a b": torch.ones(3)}}, "layer name 'a b'"),
        ({"value_residuals": {"a": torch.full((3,), 1e6)}}, "numbers above 65,504 of its value_residuals in fp16"),
        ({"key_residuals": {"other": torch.ones(3)}}, "key residuals of other layers"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_before_anything_is_written(tmp_path, changes, sentence):
    """What could not be loaded again is refused on saving, and no half of a file is left behind."""
    with pytest.raises(ConceptFileError, match=re.escape(sentence)) as caught:
        save_concept(small_concept(**changes), tmp_path / "rex.safetensors")
    assert str(caught.value).startswith("'rex.safetensors' ")
    assert list(tmp_path.iterdir()) == []
