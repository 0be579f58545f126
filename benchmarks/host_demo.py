"""The demo inside a real ComfyUI: trains two concepts and draws with them, through the shipped workflows and the API.

    python dev.py demo --comfyui [--out demo_out/comfyui] [--quick]
    python dev.py comfyui [--port 8188]

The first leaves sheets of pictures, concept files and ``report.json`` in the folder; the second leaves the server
running, with the pack, the pixel world's checkpoint and its training pictures, for a browser.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from builders.server import Server
from demonstration.host_story import HostStory
from demonstration.host_studio import QUICK, HostStudio, Plan, write_pictures
from demonstration.studio import STARS
from pixelworld.expand import write_checkpoint
from report import ROOT, origin

CHECKPOINT = "pixelworld.safetensors"


def prepared(folder: Path) -> None:
    """Put the pixel world's checkpoint and the training pictures into a host's folder."""
    target = folder / "models/checkpoints" / CHECKPOINT
    for place in (target.parent, folder / "input"):
        place.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.symlink_to(write_checkpoint(ROOT / "build" / "checkpoints"))
    for star in STARS:
        write_pictures(star, folder / "input")


def run_demo(comfyui: Path, out: Path, plan: Plan) -> None:
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    say("ComfyUI starts and trains two concepts; this takes some minutes.")
    with tempfile.TemporaryDirectory() as folder:
        prepared(Path(folder))
        with Server(comfyui, Path(folder), helpers=False) as server:
            report = HostStory(HostStudio(server, CHECKPOINT, plan), out, say).tell()
            for star in STARS:
                shutil.copy(server.folder / "output/perfusion" / f"{star.name}.safetensors", out)
    report |= {"seconds": round(time.monotonic() - started), "origin": origin()}
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    say(f"Look at the sheets in {out}. This took {report['seconds']} s.")


def serve(comfyui: Path, folder: Path, port: int) -> None:
    prepared(folder)
    with Server(comfyui, folder, helpers=False, port=port) as server:
        say(f"ComfyUI runs at http://{server.address} with the checkpoint {CHECKPOINT}; Ctrl-C ends it.")
        server.process.wait()


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "demo_out" / "comfyui", help="the folder to write to")
    parser.add_argument("--quick", action="store_true", help="few steps and pictures: whether everything runs")
    parser.add_argument("--serve", action="store_true", help="leave ComfyUI running for a browser")
    parser.add_argument("--port", type=int, default=8188, help="the port to serve at")
    options = parser.parse_args()
    # The server runs in ComfyUI's own folder, where a relative path would mean another.
    comfyui, out = Path(os.environ["COMFYUI_PATH"]), options.out.resolve()
    try:
        if options.serve:
            serve(comfyui, out / "server", options.port)
        else:
            run_demo(comfyui, out, QUICK if options.quick else Plan())
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
