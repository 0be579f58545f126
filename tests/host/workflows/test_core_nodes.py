"""The concept beside the nodes, samplers and guiders of the core: a sample of what the running host reports.

All of them are tried by ``python dev.py bench core_nodes``.
"""

from __future__ import annotations

import pytest

from builders.core_nodes.adapters import write_adapters
from builders.core_nodes.inventory import Row, rows, sample_of
from builders.core_nodes.report import EXPLAINED, faults, table
from builders.core_nodes.trial import ALONE, FINE, NO_EFFECT, Outcome, Trial
from builders.places import ROOT
from builders.server import Server

MOST_USED = frozenset({"ConditioningCombine", "ControlNetApplyAdvanced", "LoraLoader", "dpmpp_2m", "CFGGuider"})
SIZE = 14
TABLE = ROOT / "docs/compatibility.md"


@pytest.fixture(scope="module")
def trial(comfyui_path, host_folder, checkpoint):
    folder = host_folder()
    write_adapters(folder / "models", checkpoint("controlnet"))
    with Server(comfyui_path, folder) as server:
        yield Trial(server)


def test_a_sample_of_the_core_neither_harms_nor_loses_the_concept(trial):
    """A user of a core node would lose the concept, or the picture without it. What the table lacks comes first."""
    every = rows(trial.info)
    sample = sample_of(every, MOST_USED, TABLE.read_text(encoding="utf-8"), SIZE)
    outcomes = [outcome for row in sample for outcome in trial.of(row)]
    assert not faults(outcomes), "run python dev.py bench core_nodes and explain what cannot run alone"
    assert sum(outcome.outcome == FINE for outcome in outcomes) >= SIZE // 2


def test_a_node_without_effect_is_seen(trial):
    """Without this the trial could call everything good: a node that empties the prompt draws no concept."""
    (outcome,) = trial.of(Row("node", "ConditioningZeroOut"))
    assert outcome.outcome == NO_EFFECT


def test_what_nobody_has_explained_is_a_fault():
    """A node of a new ComfyUI would go untried, and nobody would know."""
    row = Row("node", "SomeNewNode")
    alone = Outcome(row, "alone", ALONE, "needs A_NEW_TYPE")
    harm = Outcome(Row("node", "ConditioningZeroOut"), "after", "harms the plain model")
    assert len(faults([alone, harm])) == 2
    known = Outcome(row, "alone", ALONE, f"needs {next(iter(EXPLAINED['types']))}")
    assert not faults([known, Outcome(row, "after", FINE)])


def test_rows_that_come_out_alike_share_a_line():
    """A reader of the table would look through twice the lines."""
    row = Row("node", "FreeU", ("before", "after"))
    text = table([Outcome(row, "before", FINE), Outcome(row, "after", FINE)])
    assert text.endswith(f"| node | FreeU | before and after | {FINE} |")


def test_the_sample_takes_the_most_used_and_then_what_is_new():
    """A node of a new ComfyUI would be tried only once somebody runs the whole benchmark."""
    every = [Row("node", name) for name in ("A", "B", "C", "LoraLoader")]
    listed = "| node | A | after | works |\n| node | C | after | works |"
    assert [row.name for row in sample_of(every, MOST_USED, listed, 2)] == ["LoraLoader", "B"]
