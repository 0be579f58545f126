"""Gates over other dials are the equation's own, and which tokens count as the concept's word and as another."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from perfusion_ops.edit.equations import Gate, gate_strength
from perfusion_ops.edit.gate_report import report, runs
from perfusion_ops.edit.gate_table import ConceptGates, GateTable, PromptToken
from perfusion_ops.text.covariance import TokenKind

SIMILARITIES = torch.tensor([5.0, 0.1, 0.3, 0.2, 0.98, 0.4, 0.05, 0.06])
KINDS = (0, 1, 1, 1, 1, 1, 2, 3)


@pytest.fixture
def table() -> GateTable:
    """``<start> a red teddy_t teddy_t cat <end> <padding>``: the superclass is two tokens, the last one learned."""
    labels = ("<start>", "a", "red", "teddy_t:teddy", "teddy_t", "cat", "<end>", "<padding>")
    tokens = [
        PromptToken(label, TokenKind(kind), "teddy_t" if label.startswith("teddy_t") else "")
        for label, kind in zip(labels, KINDS, strict=True)
    ]
    gate = Gate(0.6, 0.15)
    kept = torch.arange(8) == 0
    gates = gate_strength(SIMILARITIES, gate).masked_fill(kept, 0)
    concept = ConceptGates("teddy_t", "teddy bear", gate, similarities=SIMILARITIES, gates=gates, kept=kept)
    return GateTable(tuple(tokens), (concept,))


def test_the_word_is_found_and_what_is_never_edited_is_no_other_token(table):
    """The curves are those of the concept's word and of the word that it takes over next, not of start-of-text."""
    (concept,) = table.concepts
    assert (table.own(concept), table.other(concept)) == (4, 5)


def test_other_dials_give_the_equations_gates(table):
    """What the picture shows for another bias or temperature is what sampling with it would do."""
    (concept,) = table.concepts
    biases, temperatures = [-0.5, 0.0, 0.6, 1.3], [0.02, 0.15, 0.9]
    expected = [1 / (1 + 2.718281828459045 ** -((0.98 - bias) / 0.15)) for bias in biases]
    assert concept.over_bias(0.98, biases) == pytest.approx(expected, abs=1e-6)
    expected = [1 / (1 + 2.718281828459045 ** -((0.98 - 0.6) / temperature)) for temperature in temperatures]
    assert concept.over_temperature(0.98, temperatures) == pytest.approx(expected, abs=1e-6)


def test_a_position_gate_opens_by_its_mark(table):
    """For a concept with a position gate the dial moves its own tokens alone: nothing leaks."""
    concept = replace(table.concepts[0], by_position=True)
    assert concept.over_bias(0.0, [0.0, 0.6]) == [0.0, 0.0]
    assert concept.over_bias(1.0, [0.6])[0] == pytest.approx(0.935, abs=1e-3)


def test_the_report_names_what_is_taken_in_part_and_left(table):
    """A reader learns which words the concept takes over, which in part, and how many it leaves."""
    text = report(table)
    assert "It takes over teddy_t (0.93). In part: red (0.12), cat (0.21)." in text
    assert "It leaves 2 other tokens of the text alone" in text
    assert "not edited" in text.splitlines()[4]


def test_the_report_says_when_the_bias_is_above_every_similarity(table):
    """Who turned the bias too high reads that no word is taken over."""
    gates = torch.full((8,), 0.01)
    (concept,) = table.concepts
    text = report(replace(table, concepts=(replace(concept, gate=Gate(2.0), gates=gates),)))
    assert "It takes over no word: no gate reaches 0.5." in text


def test_padding_is_one_row_a_chunk(table):
    """Sixty rows of padding would hide the prompt; those of two chunks are not taken together."""
    padding = [replace(table.tokens[-1], chunk=chunk) for chunk in (0, 0, 1, 1)]
    assert runs(replace(table, tokens=(*table.tokens[:-1], *padding)))[-2:] == [[7, 8], [9, 10]]
