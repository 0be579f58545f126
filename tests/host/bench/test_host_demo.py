"""The demo inside ComfyUI, in small, from beginning to end."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

from builders.places import ROOT
from builders.ui_workflows import TRAIN, TWO, USE
from perfusion_ops.concept.file import load_concept

sys.path.append(str(ROOT / "benchmarks"))

import host_demo  # noqa: E402
from demonstration.host_studio import QUICK  # noqa: E402
from demonstration.studio import STARS  # noqa: E402

SHEETS = [*(star.name for star in STARS), "bias", "both"]


@pytest.fixture(scope="module")
def made(comfyui_path, tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "out"
    host_demo.run_demo(comfyui_path, out, QUICK)
    return json.loads((out / "report.json").read_text(encoding="utf-8")), out


@pytest.mark.slow
def test_the_report_says_what_was_measured(made):
    """``dev.py demo --comfyui`` reports every figure that the pages quote from it."""
    report, _ = made
    assert set(report) == {"concepts", "bias", "two_concepts", "seconds", "origin"}
    assert [concept["name"] for concept in report["concepts"]] == [star.name for star in STARS]
    assert [row["bias"] for row in report["bias"]] == list(QUICK.biases)
    numbers = [row[name] for row in report["bias"] for name in ("identity", "text_alignment")]
    assert np.isfinite([*numbers, report["two_concepts"]["leakage"], *report["two_concepts"]["identity"]]).all()


@pytest.mark.slow
def test_the_folder_holds_sheets_concepts_and_a_picture_for_each_shipped_workflow(made):
    """``dev.py demo --comfyui`` leaves pictures and concepts that open."""
    report, out = made
    for name in SHEETS:
        Image.open(out / f"{name}.png").verify()
    for name in (TRAIN, USE, TWO):
        assert min(Image.open(out / "thumbnails" / f"{name}.jpg").size) >= 192
    for star, concept in zip(STARS, report["concepts"], strict=True):
        path = out / f"{star.name}.safetensors"
        assert load_concept(path).word == star.word and path.stat().st_size == concept["file_bytes"]
