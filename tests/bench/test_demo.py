"""The demo end to end, in small; and that stopping it leaves nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

import demo
from demonstration import studio
from demonstration.studio import PAIRS, PROMPTS, STARS, Plan
from perfusion_ops.concept.file import load_concept
from pixelworld.train import training_captions

SMALL = Plan(
    steps=2,
    batch_size=2,
    sampling_steps=2,
    prompts=PROMPTS[:1],
    pairs=PAIRS[:1],
    seeds=1,
    biases=(0.6,),
    captions=300,
)
SHEETS = ["1_training", "2_base", "3_concepts", "4_keys", "5_bias", "6_both", "overview"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[dict, Path, Path]:
    folder = tmp_path_factory.mktemp("demo")
    report = demo.make_demo(SMALL, folder / "out", folder / "cache")
    return report, folder / "out", folder / "cache"


def test_the_report_has_its_schema(made):
    """``dev.py demo`` reports every figure that the pages quote from it."""
    report, out, _ = made
    assert json.loads((out / "report.json").read_text()) == report
    assert set(report) == {"base", "concepts", "two_concepts", "do_no_harm_max_abs", "device", "versions"}
    assert set(report["base"]) == {"text_alignment"}
    assert set(report["two_concepts"]) == {"identity", "leakage"} and len(report["two_concepts"]["identity"]) == 2
    assert [concept["name"] for concept in report["concepts"]] == [star.name for star in STARS]
    for concept in report["concepts"]:
        assert set(concept) == {"name", "identity", "text_alignment", "seconds", "file_bytes"}


def test_prompts_without_a_concept_are_unchanged_and_with_one_are_not(made):
    """The demo measures what the README promises: no change without the concept."""
    report, _, _ = made
    assert report["do_no_harm_max_abs"] == 0
    assert report["concepts"][0]["identity"] != 0


def test_the_folder_holds_the_sheets_and_the_concepts_and_nothing_else(made):
    """``dev.py demo`` leaves pictures and concepts that open, and no rubbish."""
    report, out, _ = made
    files = {f"{name}.png" for name in SHEETS} | {f"{star.name}.safetensors" for star in STARS} | {"report.json"}
    assert {path.name for path in out.iterdir()} == files
    for name in SHEETS:
        Image.open(out / f"{name}.png").verify()
    for star, concept in zip(STARS, report["concepts"], strict=True):
        assert load_concept(out / f"{star.name}.safetensors").word == star.word
        assert (out / f"{star.name}.safetensors").stat().st_size == concept["file_bytes"]


def test_the_bar_ends_where_the_work_does(made, tmp_path):
    """The progress bar tells the truth about the time left."""
    done = []
    drawing = studio.Studio(SMALL, made[2], done.append)
    assert demo.Story(drawing, tmp_path, lambda text: None).tell()
    assert sum(done) == pytest.approx(studio.work_ahead(SMALL))


@pytest.mark.parametrize("moment", ["training", "drawing both"])
def test_stopping_leaves_the_folder_as_it_was(made, tmp_path, monkeypatch, moment):
    """Who stops the demo keeps the results of the last one."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text("old")

    def stop(self, text):
        if text.startswith(moment):
            raise KeyboardInterrupt

    monkeypatch.setattr(demo.tqdm, "set_description_str", stop)
    with pytest.raises(KeyboardInterrupt):
        demo.make_demo(SMALL, tmp_path / "out", made[2])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.json"]
    assert (tmp_path / "out" / "report.json").read_text() == "old"


def test_the_prompts_are_unseen_and_none_is_at_a_place_of_the_training_pictures():
    """The demo shows what a concept can do in new scenes, and not what it has seen."""
    places = {star.individual.place for star in STARS}
    seen = {caption.text() for caption in training_captions()}
    assert not {caption.place for caption in (*PROMPTS, *PAIRS)} & places
    for caption in PROMPTS:
        assert all(caption.text(star.individual.class_word) not in seen for star in STARS)
    assert {caption.place for caption in training_captions()} > places
