"""The caption corpus: distinct, varied, grammatical, and the same everywhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from builders.places import ROOT
from perfusion_ops.text.captions import DEFAULT_COUNT, captions, corpus_fingerprint

CORPUS = captions()


def test_twenty_thousand_captions_are_distinct():
    """Text statistics are measured over as many captions as the node says."""
    assert DEFAULT_COUNT == len(CORPUS) == len(set(CORPUS)) == 20_000


def test_the_corpus_is_pinned():
    """A new fingerprint means that every covariance measured by a user is measured again: say so in the changelog."""
    assert corpus_fingerprint(CORPUS) == "642424715db35334"
    assert corpus_fingerprint(captions(20_000, seed=1)) != "642424715db35334"
    assert corpus_fingerprint(reversed(CORPUS)) != "642424715db35334"


def test_the_corpus_does_not_depend_on_the_hash_seed():
    """Every machine measures over the same captions, so concepts can be compared."""
    code = "from perfusion_ops.text.captions import *; print(hash('a'), corpus_fingerprint(captions(500)))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    other_hash, fingerprint = run.stdout.split()
    assert other_hash != str(hash("a"))
    assert fingerprint == corpus_fingerprint(CORPUS[:500])


def test_a_smaller_corpus_is_the_start_of_a_larger_one():
    """Fewer captions are a part of the same corpus and not another one."""
    assert captions(300) == CORPUS[:300]


def test_more_captions_than_the_lists_can_make_are_refused(monkeypatch):
    """Who asks for too many captions is told so; the node would otherwise never end."""
    monkeypatch.setattr("perfusion_ops.text.captions._TRIES_PER_CAPTION", 1)
    with pytest.raises(ValueError, match="distinct captions; 20,000 were asked for. Ask for fewer"):
        captions()


def test_lengths_spread_from_three_to_twenty_five_words():
    """Short prompts and long ones are both measured."""
    lengths = Counter(len(caption.split()) for caption in CORPUS)
    assert min(lengths) == 3 and max(lengths) == 25
    assert max(lengths.values()) < 0.15 * len(CORPUS)
    assert sum(count for length, count in lengths.items() if length > 12) > 0.1 * len(CORPUS)


def test_openings_vary():
    """The statistics do not lean toward prompts that all begin alike."""
    openings = Counter(" ".join(caption.split()[:2]) for caption in CORPUS)
    assert len(openings) > 1_500
    assert openings.most_common(1)[0][1] < 0.05 * len(CORPUS)


@pytest.mark.parametrize(
    "pattern",
    [r"\ba [aeio]", r"\ban (?!hourglass)[^aeiou]", r"\b(\S+) \1\b", r"  ", r"^ | $", r" [,.]", r"[^a-zA-Z0-9 ,.'-]"],
)
def test_no_caption_has_this_slip(pattern):
    """Captions read as English, as the text encoder was trained on."""
    assert not [caption for caption in CORPUS if re.search(pattern, caption)]
    assert re.search(pattern, "a apple  an dog the the , é ")


@pytest.mark.parametrize("plural", ["loaves of bread", "wolves", "butterflies", "boxes", "women", "glasses of milk"])
def test_plurals_are_right(plural):
    """Captions hold plurals that exist."""
    assert any(plural in caption for caption in CORPUS)
    assert not [line for line in CORPUS if re.search(r"\b(wolfs|loafs|butterflys|boxs|womans|glass of milks)\b", line)]
