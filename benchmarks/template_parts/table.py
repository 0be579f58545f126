"""The rows of many runs in one table, and the page that shows them. Each row says of which commit it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from builders.template_trial import good
from report import Rows, markdown_table

Tables = Mapping[str, Rows]
"""Title -> rows: ``drawn``, ``trained`` and ``not run``."""


def of_commit(tables: Tables, commit: str) -> dict[str, list[dict[str, Any]]]:
    """The tables of one run, each row with its commit, unless it says another."""
    return {title: [{**row, "commit": row.get("commit", commit)} for row in rows] for title, rows in tables.items()}


def joined(
    record: Mapping[str, Any], tables: Tables, made: Mapping[str, Any], known: Mapping[str, Collection[str]]
) -> dict[str, list[dict[str, Any]]]:
    """The tables of a run, and the rows of ``record`` for what it did not run, of templates that are still ``known``.

    Rows of an older run keep their commit. Raises ValueError if the record is of other versions of the host.
    """
    before = record["origin"]
    if before["host"] != made["host"]:
        raise ValueError(
            f"The record was made with {_told(before['host'])}, and this is {_told(made['host'])}: rows of both would "
            "not compare. Run it without --only."
        )
    old, new = of_commit(record["tables"], before["commit"]), of_commit(tables, made["commit"])
    drawn, unfit = ({row["template"] for row in new.get(title, ())} for title in ("drawn", "not run"))
    elsewhere = {"drawn": unfit, "trained": unfit, "not run": drawn}
    together = {}
    for title, names in known.items():
        run = {_name(row) for row in new.get(title, ())}
        kept = [row for row in old.get(title, ()) if row["template"] in names and _name(row) not in run]
        kept = [row for row in kept if row["template"] not in elsewhere[title]]
        together[title] = sorted([*kept, *new.get(title, ())], key=_name)
    return together


def page(tables: Tables, versions: Mapping[str, str]) -> str:
    """The section of the page, in markdown."""
    drawn, trained, unfit = (tables.get(title, ()) for title in ("drawn", "trained", "not run"))
    reasons = dict.fromkeys(row["reason"] for row in unfit)
    left = [
        {"templates": ", ".join(row["template"] for row in unfit if row["reason"] == reason), "not run": reason}
        for reason in reasons
    ]
    return "\n\n".join(
        [
            f"{_told(versions)}. Each row is of the commit in its last column. {sum(map(good, drawn))} of {len(drawn)} "
            f"workflows draw the concept and nothing else; {sum(map(good, trained))} of {len(trained)} train it and "
            "hand it on.",
            markdown_table([_shown(row) for row in drawn]),
            "One training of each kind of model and weights, of two steps, with what the template's loaders give:",
            markdown_table([_shown(row) for row in trained]),
            *(["Templates of these models that were not run:", markdown_table(left)] if left else []),
        ]
    )


def _name(row: Mapping[str, Any]) -> tuple[bool, str, str]:
    """What a row is known by; those without an official template come last."""
    return row["template"].startswith("("), row["template"], row.get("family", "")


def _told(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    words = {True: "to the bit", False: "**no**"}
    return {name: words[value] if isinstance(value, bool) else value for name, value in row.items()}
