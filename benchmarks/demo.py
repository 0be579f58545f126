"""Trains two concepts in the pixel world and shows what they do; no ComfyUI, no GPU.

    python dev.py demo [--out demo_out]

Leaves ``report.json``, the concept files and sheets of pictures in the folder; stopped, it leaves the folder as it was.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from demonstration.story import Story
from demonstration.studio import Plan, Studio, work_ahead
from report import ROOT

CACHE = ROOT / "bench_out" / "demo"
BAR = "{percentage:3.0f} % |{bar}| {remaining} left · {desc}"
WHAT_TO_LOOK_AT = """\
Look at, in {folder}:
  overview.png     everything in one picture
  1_training.png   what was learned from
  2_base.png       the model before
  3_concepts.png   each subject where it has never been
  4_keys.png       locked keys, trained keys, the word alone
  5_bias.png       one dial, turned after training
  6_both.png       both subjects in one picture"""


def make_demo(plan: Plan, out: Path, cache: Path = CACHE) -> dict[str, Any]:
    """Run the demo and put its files into ``out``, the report last; an exception leaves ``out`` as it was."""
    out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=out, prefix=".unfinished-") as folder,
        tqdm(total=math.ceil(work_ahead(plan)), bar_format=BAR) as bar,
    ):
        bar.set_description_str("measuring the text encoder")
        studio = Studio(plan, cache, bar.update)
        report = Story(studio, Path(folder), bar.set_description_str).tell()
        bar.set_description_str("done")
        (Path(folder) / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        for path in sorted(Path(folder).iterdir(), key=lambda path: path.name == "report.json"):
            os.replace(path, out / path.name)
    return report


def summary(report: dict[str, Any]) -> str:
    """The report in plain words."""
    lines = [f"The model before: {report['base']['text_alignment']:.0%} of what prompts name comes out."]
    for concept in report["concepts"]:
        lines.append(
            f"{concept['name']}: identity {concept['identity']:.2f} (0 any of its class, 1 the subject), "
            f"{concept['text_alignment']:.0%} of the text, {concept['seconds']:.0f} s, {concept['file_bytes']:,} bytes."
        )
    pair = report["two_concepts"]
    lines.append(
        f"Both in one picture: identity {pair['identity'][0]:.2f} and {pair['identity'][1]:.2f}, "
        f"{pair['leakage']:.0%} of traits on the wrong one."
    )
    lines.append(f"Prompts without the concept change by {report['do_no_harm_max_abs']:g}.")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "demo_out", help="the folder to write to")
    options = parser.parse_args()
    started = time.monotonic()
    # A terminal that is closed, or a `timeout`, stops it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        report = make_demo(Plan(), options.out)
    except KeyboardInterrupt:
        print("Stopped. Nothing was left behind.", file=sys.stderr)
        return 130
    print(summary(report))
    print(WHAT_TO_LOOK_AT.format(folder=options.out))
    print(f"This took {time.monotonic() - started:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
