"""Concept files: what is written is what is read, small, whole, and nothing else is ever read."""

from __future__ import annotations

import bisect
import dataclasses
import errno
import pickle
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

import fuzz_concept_file
from concepts import SD1_LAYERS, SDXL_LAYERS, random_concept
from perfusion_ops.concept import Concept
from perfusion_ops.concept_file import ConceptFileError, concept_bytes, load_concept, parse_concept, save_concept
from perfusion_ops.concept_schema import MAX_FILE_BYTES, MAX_METADATA_BYTES
from perfusion_ops.layer_table import decode_layers, encode_layers
from perfusion_ops.strict_safetensors import pack
from perfusion_ops.training_task import TrainingSettings

SMALL = {"blocks.10.attn2": 7, "blocks.2.attn2": 5, "middle.attn2": 5}
METADATA = {
    "date": "2026-11-23",
    "encoder": "0123456789abcdef",
    "base_model": "0123456789abcdef",
    "statistics": "0123456789abcdef",
    "training": TrainingSettings().as_text(400),
}
VECTORS = ("target_input", "target_dual", "superclass_encoding")
GROUPS = ("word_embeddings", "value_residuals", "key_residuals")


def small_concept(**changes) -> Concept:
    return dataclasses.replace(random_concept(SMALL, 12, {"l": 9, "g": 130}, metadata=METADATA), **changes)


def reloaded(concept: Concept, precision: str) -> Concept:
    return parse_concept(concept_bytes(concept, "x", precision), "x")


def all_tensors(concept: Concept) -> dict[str, torch.Tensor]:
    tensors = {name: getattr(concept, name) for name in VECTORS}
    return tensors | {f"{g}/{n}": t for g in GROUPS for n, t in getattr(concept, g).items()}


def same_but_numbers(a: Concept, b: Concept) -> bool:
    return all(getattr(a, n) == getattr(b, n) for n in ("word", "superclass", "base_family", "metadata"))


# Round trips


def test_fp32_keeps_every_bit(tmp_path):
    concept = random_concept(SMALL, 12, {"l": 9, "g": 130}, keys=True, metadata=METADATA)
    save_concept(concept, tmp_path / "rex.safetensors", "fp32")
    loaded = load_concept(tmp_path / "rex.safetensors")
    before, after = all_tensors(concept), all_tensors(loaded)
    assert before.keys() == after.keys() and same_but_numbers(concept, loaded)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_fp16_is_within_half_a_unit_of_eleven_bits():
    concept = random_concept(SD1_LAYERS, 768, {"l": 768}, keys=True)
    before, after = all_tensors(concept), all_tensors(reloaded(concept, "fp16"))
    scale = before["target_dual"].norm() / after["target_dual"].norm()
    after["target_dual"] = after["target_dual"] * scale
    errors = {name: ((after[name] - t).abs() / (t.abs() + 2.0**-14)).max().item() for name, t in before.items()}
    assert max(errors.values()) <= 2.0**-11 * 1.01
    assert min(errors.values()) > 2.0**-13, "a file that lost nothing would not be fp16"


def test_int8_values_are_within_a_254th_of_their_layer():
    concept = random_concept(SDXL_LAYERS, 2048, {"l": 768, "g": 1280})
    loaded = reloaded(concept, "int8")
    errors = [
        (loaded.value_residuals[name] - residual).abs().max() / residual.abs().max()
        for name, residual in concept.value_residuals.items()
    ]
    assert max(errors) <= 1 / 254 * 1.001
    one_scale = max(r.abs().max() for r in concept.value_residuals.values()) / 254
    smallest = min(r.abs().max() for r in concept.value_residuals.values())
    assert one_scale / smallest > 1, "one scale for all layers would erase the smallest"


def test_int8_embeddings_are_within_a_254th_of_their_block_and_encodings_are_fp16():
    concept = random_concept(SMALL, 12, {"l": 9, "g": 130})
    loaded = reloaded(concept, "int8")
    for name, embedding in concept.word_embeddings.items():
        for before, after in zip(embedding.split(64), loaded.word_embeddings[name].split(64), strict=True):
            assert (before - after).abs().max() <= before.abs().max() / 254 * 1.001
    assert torch.equal(loaded.target_input, concept.target_input.half().float())


def test_all_zero_layers_and_subnormal_numbers_survive_int8():
    residuals = {"a": torch.zeros(4), "b": torch.full((4,), 1e-44), "c": torch.ones(4)}
    loaded = reloaded(small_concept(value_residuals=residuals), "int8")
    assert torch.equal(loaded.value_residuals["a"], residuals["a"])
    assert loaded.value_residuals["b"].abs().max() < 1e-38
    assert torch.allclose(loaded.value_residuals["c"], residuals["c"])


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_similarities_survive_rounding(precision):
    """With the spread of SD 1.5's own text encoder: its C has a condition number of 3.9e3."""
    covariance = clip_covariance()
    encodings = torch.randn(2000, 768, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    encodings = encodings @ torch.linalg.cholesky(covariance).mT
    duals = torch.linalg.solve(covariance, encodings[:8].mT).mT
    for target_input, dual in zip(encodings, duals, strict=False):
        concept = small_concept(
            target_input=target_input.float(), target_dual=dual.float(), superclass_encoding=encodings[9].float()
        )
        loaded = reloaded(concept, precision)
        exact, rounded = (similarity(encodings, c) for c in (concept, loaded))
        assert (exact - rounded).abs().max() < 1e-4
        coarse = dataclasses.replace(loaded, target_dual=(dual / dual.abs().max() * 127).round().float())
        assert (exact - similarity(encodings, coarse)).abs().max() > 3e-4, "int8 for the dual would be too coarse"


def clip_covariance() -> torch.Tensor:
    import perfusion_pytorch

    path = Path(perfusion_pytorch.__file__).parent / "data" / "covariance_CLIP_ViT-L-14.pt"
    covariance = torch.load(path, weights_only=True).double()
    return (covariance + covariance.mT) / 2


def similarity(encodings: torch.Tensor, concept: Concept) -> torch.Tensor:
    dual, target_input = concept.target_dual.double(), concept.target_input.double()
    return encodings @ dual / (target_input @ dual)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_scale_of_the_dual_is_free(scale):
    concept = small_concept()
    encodings = torch.randn(50, 12, dtype=torch.float64)
    scaled = dataclasses.replace(concept, target_dual=concept.target_dual * scale)
    loaded = reloaded(scaled, "fp16")
    assert 0.5 <= loaded.target_dual.abs().max() < 1
    assert torch.allclose(similarity(encodings, loaded), similarity(encodings, concept), atol=2e-3)


def test_the_same_concept_gives_the_same_bytes_in_any_order_of_layers():
    concept = small_concept()
    backwards = dataclasses.replace(
        concept, **{g: dict(reversed(getattr(concept, g).items())) for g in (*GROUPS, "metadata")}
    )
    for precision in ("fp32", "fp16", "int8"):
        assert concept_bytes(concept, "a", precision) == concept_bytes(backwards, "b", precision)
    other = dataclasses.replace(concept, word="<tom>")
    assert concept_bytes(concept, "a") != concept_bytes(other, "a")


def test_other_programs_can_read_the_file():
    concept = small_concept()
    tensors = safetensors.torch.load(concept_bytes(concept, "x", "fp32"))
    assert torch.equal(tensors["encodings"][0], concept.target_input)
    flat = torch.cat([concept.value_residuals[name] for name in ("blocks.2.attn2", "blocks.10.attn2", "middle.attn2")])
    assert torch.equal(tensors["value_residuals"], flat)


# Sizes


@pytest.mark.parametrize(
    ("layers", "width", "embeddings", "precision", "typical", "limit"),
    [
        (SD1_LAYERS, 768, {"l": 768}, "fp16", 32_256, 32_768),
        (SD1_LAYERS, 1024, {"h": 1024}, "fp16", 34_304, 34_816),
        (SDXL_LAYERS, 2048, {"l": 768, "g": 1280}, "int8", 100_000, 100_000),
    ],
)
def test_files_hold_their_size_whatever_their_texts(layers, width, embeddings, precision, typical, limit):
    assert (len(SD1_LAYERS), sum(SD1_LAYERS.values())) == (16, 12_480)
    assert (len(SDXL_LAYERS), sum(SDXL_LAYERS.values())) == (70, 83_200)
    concept = random_concept(layers, width, embeddings, family="sdxl", metadata=METADATA)
    assert len(concept_bytes(concept, "x", precision)) <= typical

    def too_wordy(length: int) -> bool:
        try:
            return len(concept_bytes(with_note(concept, length), "x", precision)) == 0
        except ConceptFileError as error:
            assert "bytes of metadata; expected at most 1,180" in str(error)
            return True

    longest = bisect.bisect_left(range(MAX_METADATA_BYTES), True, key=too_wordy) - 1
    fullest = concept_bytes(with_note(concept, longest), "x", precision)
    assert typical - 2_000 < len(fullest) <= limit


def test_forty_five_concepts_fit_on_a_floppy():
    """1.44 MB, FAT12 of 512-byte clusters, with the metadata that Train Perfusion Concept writes, and a date."""
    concept = random_concept(SD1_LAYERS, 768, {"l": 768}, metadata=METADATA)
    concept = dataclasses.replace(concept, word="grandmothers_teddy", superclass="teddy bear")
    clusters = -(-len(concept_bytes(concept, "x", "fp16")) // 512)
    assert 45 * clusters <= 2_847 < 45 * (clusters + 1)


def with_note(concept: Concept, length: int) -> Concept:
    return dataclasses.replace(concept, metadata=METADATA | {"note": "x" * length})


@given(
    st.dictionaries(
        st.lists(st.sampled_from(["a", "b_c", "0", "1", "2", "9", "10", "007"]), min_size=1, max_size=4).map(".".join),
        st.integers(1, 3),
        min_size=1,
        max_size=40,
    )
)
def test_layer_tables_round_trip(widths):
    assert decode_layers(*encode_layers(widths)) == widths


def test_layer_tables_are_short():
    assert encode_layers(SD1_LAYERS) == (
        "*.1.transformer_blocks.0.attn2 input_blocks.{1-2,4-5,7-8} middle_block output_blocks.{3-11}",
        "320x2 640x2 1280x6 640x3 320x3",
    )
    assert len(" ".join(encode_layers(SDXL_LAYERS))) <= 254 < len(" ".join(SDXL_LAYERS)) // 10


# Refusals on saving


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"word": "<\x00>"}, "control characters in its word"),
        ({"word": "<\ud800>"}, "control characters in its word"),
        ({"superclass": "x" * 65}, "65 bytes of superclass; expected at most 64"),
        ({"base_family": "SD 1"}, "base family 'SD 1'"),
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
    with pytest.raises(ConceptFileError, match=re.escape(sentence)) as caught:
        save_concept(small_concept(**changes), tmp_path / "rex.safetensors")
    assert str(caught.value).startswith("'rex.safetensors' ")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_precision_is_named():
    with pytest.raises(ValueError, match="'fp8'; expected one of fp32, fp16, int8"):
        concept_bytes(small_concept(), "x", "fp8")


# Atomic saving


def assert_old_file_survives(path: Path) -> None:
    old = path.read_bytes()
    with pytest.raises(ConceptFileError, match="'rex.safetensors' could not be saved .*; expected .* bytes of room"):
        save_concept(small_concept(word="<new>"), path)
    assert path.read_bytes() == old
    assert [p.name for p in path.parent.iterdir()] == [path.name], "a temporary file was left behind"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "rex.safetensors"
    save_concept(small_concept(), path)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"os.{step}", full)
    assert_old_file_survives(path)


def test_a_file_cut_off_by_the_system_leaves_the_old_file(tmp_path):
    resource = pytest.importorskip("resource", reason="file size limits are Unix's")
    path = tmp_path / "rex.safetensors"
    save_concept(small_concept(), path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        assert_old_file_survives(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    for folder in (tmp_path / "missing", Path("/proc")):
        with pytest.raises(ConceptFileError, match="could not be saved") as caught:
            save_concept(small_concept(), folder / "rex.safetensors")
        assert str(folder) in str(caught.value)


# Refusals on loading


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


# Strangers' files


def test_ten_thousand_broken_files_are_refused_or_loaded_whole():
    outcomes, peak = fuzz_concept_file.fuzz(10_000, seed=2)
    assert outcomes["refused"] > 5_000 and outcomes["loaded"] > 100
    assert peak <= fuzz_concept_file.MAX_PYTHON_BYTES


def test_the_fuzzer_notices_a_reader_that_lets_other_errors_out(monkeypatch):
    def careless(data: bytes, name: str) -> Concept:
        return {}[data[:8]]

    monkeypatch.setattr(fuzz_concept_file, "parse_concept", careless)
    with pytest.raises(AssertionError, match="case 0 of seed 0"):
        fuzz_concept_file.fuzz(10, seed=0)


MEMORY = """
import resource, sys
from pathlib import Path
from perfusion_ops.concept_file import ConceptFileError, load_concept
used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
load_concept(sys.argv[1])
before = used()
try:
    load_concept(sys.argv[2])
except ConceptFileError as error:
    print(error, file=sys.stderr)
print((used() - before) * 1024)
"""


@pytest.mark.parametrize("kind", ["oversized", "largest"])
def test_no_file_takes_more_memory_than_the_stated_bound(tmp_path, kind):
    pytest.importorskip("resource", reason="peak memory is read as on Unix")
    small, path = tmp_path / "small.safetensors", tmp_path / "big.safetensors"
    save_concept(small_concept(), small, "int8")
    if kind == "oversized":
        with open(path, "wb") as file:
            file.truncate(3 * 1024**3)
    else:
        layers = {f"l.{i}": 1900 for i in range(1000)}
        save_concept(random_concept(layers, 16_384, {"l": 9}), path, "int8")
        assert MAX_FILE_BYTES * 0.9 < path.stat().st_size <= MAX_FILE_BYTES
    root = Path(__file__).resolve().parent.parent
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, str(small), str(path)], cwd=root, capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 32 * 1024**2
    assert ("expected at most 2,097,152" in run.stderr) == (kind == "oversized")
