"""What an outcome means, and the table of all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from builders.core_nodes.trial import ALONE, EXPLAINABLE, FINE, Outcome

EXPLAINED = json.loads(Path(__file__).with_name("explained.json").read_text(encoding="utf-8"))
"""Types that nothing here can give -> what they are; outcome -> name -> why it comes out so."""


def explanation(outcome: Outcome) -> str | None:
    """Why a row does not work like the others; None when nobody has said so."""
    if outcome.outcome not in EXPLAINABLE:
        return None
    missing = EXPLAINED["types"].get(outcome.detail.removeprefix("needs ")) if outcome.outcome == ALONE else None
    return f"needs {missing}" if missing else EXPLAINED[outcome.outcome].get(outcome.row.name)


def faults(outcomes: Iterable[Outcome]) -> list[str]:
    """One line for every outcome that is neither good nor explained."""
    return [
        f"{outcome.row.kind} {outcome.row.name}, {outcome.place}: {outcome.outcome}. {outcome.detail}"
        for outcome in outcomes
        if outcome.outcome != FINE and explanation(outcome) is None
    ]


def stale(outcomes: Iterable[Outcome]) -> set[str]:
    """Explained names that the host has and that now come out otherwise."""
    named = {name for outcome in EXPLAINABLE for name in EXPLAINED[outcome]}
    tried = {outcome.row.name for outcome in outcomes}
    found = {outcome.row.name for outcome in outcomes if outcome.outcome in EXPLAINABLE}
    return named & tried - found


def table(outcomes: list[Outcome]) -> str:
    """One line a row of the core: its places and how it came out in all of them."""
    lines = ["| kind | name | place | outcome |", "| --- | --- | --- | --- |"]
    for row in dict.fromkeys(outcome.row for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.row == row]
        for words in dict.fromkeys(_words(outcome) for outcome in own):
            where = " and ".join(outcome.place for outcome in own if _words(outcome) == words)
            lines.append(f"| {row.kind} | {row.name} | {where} | {words} |")
    return "\n".join(lines)


def _words(outcome: Outcome) -> str:
    why = explanation(outcome) or outcome.detail
    return f"{outcome.outcome}: {why}" if why else outcome.outcome
