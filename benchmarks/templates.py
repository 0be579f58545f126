"""The concept in every official template of today's models, on the real host with small files and the host's loaders.

    python dev.py bench templates [--only TEXT ...] [--record]

With --record, writes its tables into docs/compatibility.md and benchmarks/results. Ends with 1 when a row is not good.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image

from builders.family_files import install, write_concepts
from builders.family_templates import CLIP_LOADERS, Template, templates
from builders.server import Rejected, Server, WorkflowError
from builders.template_trial import UNOFFICIAL, Case, Trial, good, unofficial
from builders.weight_forms import TITLES
from builders.workflows import training_pictures
from report import ROOT, add_record_option, markdown_table, origin, publish, replace_section

PAGE = ROOT / "docs/compatibility.md"
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


def one_each(cases: list[Case]) -> list[Case]:
    """The first workflow of each kind of network in each form of its weights."""
    return list({(case.kinds[0], case.forms): case for case in reversed(cases)}.values())[::-1]


def page(drawn: list[dict], trained: list[dict], unfit: dict[str, str], versions: dict[str, str]) -> str:
    made = origin()
    told = ", ".join(f"{name} {number}" for name, number in versions.items())
    reasons = [
        {"templates": ", ".join(name for name, why in unfit.items() if why == reason), "not run": reason}
        for reason in dict.fromkeys(unfit.values())
    ]
    return "\n\n".join(
        [
            f"{told}, {made['date']}, commit {made['commit']}. {sum(map(good, drawn))} of {len(drawn)} workflows draw "
            f"the concept and nothing else; {sum(map(good, trained))} of {len(trained)} train it and hand it on.",
            markdown_table([_shown(row) for row in drawn]),
            "One training of each kind of model and weights, of two steps, with what the template's loaders give:",
            markdown_table([_shown(row) for row in trained]),
            "Templates of these models that were not run:",
            markdown_table(reasons),
        ]
    )


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    words = {True: "to the bit", False: "**no**"}
    return {name: words[value] if isinstance(value, bool) else value for name, value in row.items()}


def prepare(folder: Path, chosen: list[Template], kinds: list[str], comfyui: Path) -> None:
    """The files of templates and of unofficial ``kinds``, concepts, and pictures to train on, in a host's folder."""
    wanted = [template.files() for template in chosen] + [UNOFFICIAL[kind] for kind in kinds]
    install(folder, {path: name for files in wanted for path, name in files.items()}, comfyui)
    write_concepts(folder, {*kinds, *(template.kinds[0] for template in chosen)}, comfyui)
    (folder / "input").mkdir()
    first, *_ = training_pictures(folder)
    with Image.open(folder / "input" / first) as picture:
        holed, alpha = picture.convert("RGB"), Image.new("L", picture.size, 255)
    # For templates that paint in a mask.
    alpha.paste(0, (0, 0, holed.width // 2, holed.height))
    holed.putalpha(alpha)
    for name in {name for template in chosen for name in template.pictures}:
        holed.save(folder / "input" / name, "PNG")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = "templates with one of these texts in their name, or in the kind of network where there is no template"
    parser.add_argument("--only", nargs="+", metavar="TEXT", help=what)
    add_record_option(parser)
    arguments = parser.parse_args()
    comfyui = Path(os.environ.get("COMFYUI_PATH") or sys.exit("This needs ComfyUI. Set COMFYUI_PATH to its folder."))

    def asked(name: str) -> bool:
        return not arguments.only or any(text in name for text in arguments.only)

    every, kinds = [template for template in templates() if asked(template.name)], list(filter(asked, UNOFFICIAL))
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), [template for template in every if not template.unfit()], kinds, comfyui)
        with Server(comfyui, Path(folder)) as server:
            trial, known = Trial(server), server.get("/object_info")
            unfit = {template.name: why for template in every if (why := template.unfit(known))}
            cases = [Case.of(template, server) for template in every if template.name not in unfit]
            cases += map(unofficial, kinds)
            drawn = list(rows(trial, cases, train=False))
            trained = list(rows(trial, one_each(cases), train=True))
            host = server.get("/system_stats")["system"]["comfyui_version"]
    versions = {"ComfyUI": host, "comfyui-workflow-templates": version("comfyui-workflow-templates")}
    tables = {"drawn": drawn, "trained": trained, "not run": [{"template": n, "reason": w} for n, w in unfit.items()]}
    publish("templates", tables, ROOT / "bench_out", arguments.record, host=versions)
    if arguments.record:
        replace_section(PAGE, "templates", page(drawn, trained, unfit, versions))
    return 0 if all(map(good, [*drawn, *trained])) else 1


if __name__ == "__main__":
    sys.exit(main())
