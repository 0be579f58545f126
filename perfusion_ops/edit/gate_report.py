"""A gate table in words: what each concept takes over, what it leaves, and why it may have no effect."""

from __future__ import annotations

from itertools import groupby

from ..text.covariance import TokenKind
from .gate_table import IN_PART, TAKEN, ConceptGates, GateTable

NAMES = {TokenKind.START: "<start>", TokenKind.END: "<end>", TokenKind.PADDING: "<padding>"}


def report(table: GateTable) -> str:
    """Sentences about every concept, then a line for every token with its similarities and gates."""
    parts = [f"{headline(concept)}\n{sentence(table, concept)}" for concept in table.concepts]
    shown = [concept for concept in table.concepts if concept.similarities is not None]
    if shown:
        parts.append("\n".join(_lines(table, shown)))
    return "\n\n".join(parts)


def headline(concept: ConceptGates) -> str:
    """The concept and its dials."""
    gate = concept.gate
    kind = "position gate" if concept.by_position else concept.key_locking.value.replace("_", " ")
    leak = ", leak free" if gate.leak_free else ""
    return f"{concept.word} ({concept.superclass}): bias {gate.bias:g}, temperature {gate.temperature:g}, {kind}{leak}"


def sentence(table: GateTable, concept: ConceptGates) -> str:
    """What the concept takes over and what not, or why it has no effect."""
    if concept.gates is None:
        return concept.problem
    taken = _named(table, concept, TAKEN, float("inf"))
    in_part = _named(table, concept, IN_PART, TAKEN)
    told = [f"It takes over {taken}." if taken else f"It takes over no word: no gate reaches {TAKEN:g}."]
    if in_part:
        told.append(f"In part: {in_part}.")
    told.append(_left(table, concept))
    return " ".join([concept.problem, *told, *concept.notes]).strip()


def _named(table: GateTable, concept: ConceptGates, low: float, high: float) -> str:
    """Tokens with gates from ``low`` to below ``high`` and the highest gate of each, in the prompt's order."""
    gates: dict[str, float] = {}
    for token, gate in zip(table.tokens, concept.gates.tolist(), strict=True):
        if low <= gate < high:
            gates[token.label] = max(gate, gates.get(token.label, 0.0))
    return ", ".join(f"{label} ({gate:.2f})" for label, gate in gates.items())


def _left(table: GateTable, concept: ConceptGates) -> str:
    pairs = zip(table.tokens, concept.gates.tolist(), strict=True)
    words = [gate for token, gate in pairs if token.kind is TokenKind.WORD and gate < IN_PART]
    if not words:
        return "It leaves no word of the text alone."
    return f"It leaves {_count(len(words), 'other token')} of the text alone (gates up to {max(words):.3f})."


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _lines(table: GateTable, concepts: list[ConceptGates]) -> list[str]:
    """One row a token; a run of padding is one row with its highest gates."""
    width = max(len("token"), *(len(token.label) for token in table.tokens))
    names = [[f"{concept.word} similarity", *concept.shares, "gate"] for concept in concepts]
    heads = [head for group in names for head in group]
    lines = [f"{'#':>7}  {'token':<{width}}  weight  " + "  ".join(f"{head:>10}" for head in heads)]
    for run in runs(table):
        numbers = f"{run[0]}" if len(run) == 1 else f"{run[0]}-{run[-1]}"
        token = table.tokens[run[0]]
        cells = [cell for concept in concepts for cell in _cells(concept, run)]
        columns = "  ".join(f"{cell:>{max(10, len(head))}}" for cell, head in zip(cells, heads, strict=True))
        lines.append(f"{numbers:>7}  {token.label:<{width}}  {token.weight:6.2f}  {columns}")
    return lines


def _cells(concept: ConceptGates, run: list[int]) -> list[str]:
    highest = max(run, key=lambda n: concept.gates[n].item())
    parts = [f"{share[highest]:.4f}" for share in concept.shares.values()]
    gate = "not edited" if concept.kept[highest] else f"{concept.gates[highest]:.4f}"
    return [f"{concept.similarities[highest]:.4f}", *parts, gate]


def runs(table: GateTable) -> list[list[int]]:
    """Places of tokens, each alone but padding, which stands together up to the end of its chunk."""

    def key(place: int) -> tuple:
        token = table.tokens[place]
        return (token.chunk,) if token.kind is TokenKind.PADDING else (token.chunk, place)

    return [list(group) for _, group in groupby(range(len(table.tokens)), key)]
