"""The concept in every official template of today's models, on the real host with small files and the host's loaders.

    python dev.py bench templates [--only TEXT ...] [--record]

With --record, writes its tables into docs/compatibility.md and benchmarks/results; with --only too, it keeps the rows
that stand there of other templates. Ends with 1 when a row is not good.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from builders.family_files import DRAWN_ONLY
from builders.family_templates import CLIP_LOADERS, templates
from builders.server import Rejected, Server, WorkflowError
from builders.template_trial import NO_TEMPLATE, UNOFFICIAL, Case, Trial, good, prepare, unofficial
from builders.weight_forms import TITLES
from report import RECORDS, ROOT, add_record_option, origin, publish, replace_section, write_record
from template_parts.table import Tables, joined, of_commit, page

PAGE = ROOT / "docs/compatibility.md"
TEMPLATES = "comfyui-workflow-templates-json"
"""The package that has the workflows themselves."""
PLAIN = {"CLIPTextEncode", "VAEDecode", "PreviewImage", "UNETLoader", "VAELoader", *CLIP_LOADERS}
PLAIN |= {"EmptySD3LatentImage", "EmptyLatentImage", "StringConcatenate", "PreviewAny"}
"""Nodes that say nothing of a template in its row."""


def rows(trial: Trial, cases: list[Case], train: bool) -> Iterator[dict[str, Any]]:
    for case in cases:
        kinds = sorted({node["class_type"] for node in case.graph.values()} - PLAIN)
        through = [kind for kind in kinds if not kind.startswith("Primitive")]
        weights = "; ".join(TITLES[form] for form in case.forms)
        row = {"template": case.name, "family": case.family, "weights": weights, "through": ", ".join(through)}
        try:
            row |= trial.trained(case, "shot0.png") if train else trial.drawn(case)
        except (WorkflowError, Rejected) as error:
            row |= {"unchanged without the word": False, "changed by it": 0.0}
            row |= {} if train else {"unchanged at strength 0": False}
            print(f"{case.name}: {error}", flush=True)
        print(("good  " if good(row) else "WRONG ") + case.name + (", trained" if train else ""), flush=True)
        yield row


def one_each(kinds: dict[str, tuple]) -> list[str]:
    """The first workflow of each kind of network in each form of its weights: ``kinds`` are (kind, forms) by name."""
    return list({kind: name for name, kind in reversed(kinds.items()) if kind[0] not in DRAWN_ONLY}.values())[::-1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = "templates with one of these texts in their name, or in the kind of network where there is no template"
    parser.add_argument("--only", nargs="+", metavar="TEXT", help=what)
    add_record_option(parser)
    arguments = parser.parse_args()
    comfyui = Path(os.environ.get("COMFYUI_PATH") or sys.exit("This needs ComfyUI. Set COMFYUI_PATH to its folder."))

    def asked(name: str) -> bool:
        return not arguments.only or any(text in name for text in arguments.only)

    every, kinds = templates(), list(filter(asked, UNOFFICIAL))
    chosen = [template for template in every if asked(template.name)]
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), [template for template in chosen if not template.unfit()], kinds, comfyui)
        with Server(comfyui, Path(folder)) as server:
            trial, nodes = Trial(server), server.get("/object_info")
            fit = [template for template in every if not template.unfit(nodes)]
            unfit = [{"template": each.name, "reason": each.unfit(nodes)} for each in chosen if each not in fit]
            cases = [Case.of(template, server) for template in chosen if template in fit]
            cases += map(unofficial, kinds)
            firsts = one_each({template.name: (template.kinds[0], template.forms) for template in fit})
            drawn = list(rows(trial, cases, train=False))
            trained = list(rows(trial, [case for case in cases if case.name in (*firsts, NO_TEMPLATE)], train=True))
            host = server.get("/system_stats")["system"]["comfyui_version"]
    versions = {"ComfyUI": host, TEMPLATES: version(TEMPLATES)}
    tables = {"drawn": drawn, "trained": trained, "not run": unfit}
    publish("templates", tables, ROOT / "bench_out", host=versions)
    if arguments.record:
        names = [*(template.name for template in every), NO_TEMPLATE]
        known = {"drawn": names, "trained": [*firsts, NO_TEMPLATE], "not run": names}
        record(tables, known if arguments.only else None, versions)
    return 0 if all(map(good, [*drawn, *trained])) else 1


def record(tables: Tables, known: dict[str, list[str]] | None, versions: dict[str, str]) -> None:
    """Write the tables of record and their page anew; with ``known`` names, what stands there of others is kept."""
    made, path = origin() | {"host": versions}, RECORDS / "templates.json"
    before = json.loads(path.read_text(encoding="utf-8")) if known else None
    together = joined(before, tables, made, known) if before else of_commit(tables, made["commit"])
    write_record(path, {"origin": made, "tables": together})
    replace_section(PAGE, "templates", page(together, versions))


if __name__ == "__main__":
    sys.exit(main())
