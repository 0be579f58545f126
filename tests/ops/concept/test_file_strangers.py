"""Strangers' concept files: broken ones by the thousand, and ones that would fill the memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from builders import fuzz_concept_file
from builders.concepts import random_concept, small_concept
from builders.places import ROOT
from perfusion_ops.concept.concept import Concept
from perfusion_ops.concept.file import save_concept
from perfusion_ops.concept.file_schema import MAX_FILE_BYTES


def test_ten_thousand_broken_files_are_refused_or_loaded_whole():
    """A stranger's file can neither crash ComfyUI nor load as half a concept."""
    outcomes, peak = fuzz_concept_file.fuzz(10_000, seed=2)
    assert outcomes["refused"] > 5_000 and outcomes["loaded"] > 100
    assert peak <= fuzz_concept_file.MAX_PYTHON_BYTES


def test_the_fuzzer_notices_a_reader_that_lets_other_errors_out(monkeypatch):
    """Negative control: a careless reader fails the test above."""

    def careless(data: bytes, name: str) -> Concept:
        return {}[data[:8]]

    monkeypatch.setattr(fuzz_concept_file, "parse_concept", careless)
    with pytest.raises(AssertionError, match="case 0 of seed 0"):
        fuzz_concept_file.fuzz(10, seed=0)


MEMORY = """
import resource, sys
from pathlib import Path
from perfusion_ops.concept.file import ConceptFileError, load_concept
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
    """A stranger's file cannot fill the memory."""
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
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, str(small), str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 32 * 1024**2
    assert ("expected at most 2,097,152" in run.stderr) == (kind == "oversized")
