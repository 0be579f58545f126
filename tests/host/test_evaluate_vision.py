"""Scores by a CLIP vision model, through Sweep and Evaluate on the real server."""

from __future__ import annotations

import pytest

from builders.judging_nodes import PLAIN, USERS, evaluate, scored_by_vision, sweep
from builders.older_hosts import skip_without
from builders.vision_files import write_vision_file


@pytest.fixture(scope="module", autouse=True)
def vision_file(server):
    skip_without("CLIP vision models of small sizes")
    write_vision_file(server.folder / "models/clip_vision/narrow.safetensors", "l")


def test_the_sweep_scores_its_cells_by_clip_vision(server):
    """Who connects CLIP_VISION gets its scores: 1 and 0 where they are defined, and between them elsewhere."""
    rows, said = scored_by_vision(server, sweep, column_values="-0.5", row_values="1, 0, 0.5")
    assert [row[2:4] for row in rows[:2]] == [USERS, PLAIN]
    assert float(rows[2][2]) not in (0, 1) and float(rows[2][3]) not in (0, 1)
    assert "cosines of the CLIP_VISION model's encodings" in said and "no text encoder of the" in said
    assert "missing clip vision" not in server.log_text()


def test_evaluate_scores_every_method_by_clip_vision(server):
    """With CLIP_VISION other methods are scored too, by the same measure."""
    rows, said = scored_by_vision(server, evaluate, beside="cat")
    assert [row[2:4] for row in rows[:2]] == [PLAIN, USERS]
    assert all(float(score) != 0 for score in rows[2][2:4])
    assert "The other methods are not scored" not in said

