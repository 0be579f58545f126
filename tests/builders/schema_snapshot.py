"""The nodes' schemas in short, as saved workflows depend on them: tests/builders/schema.json.

    python tests/builders/schema_snapshot.py ADDRESS     writes it anew from a server that runs, after a wanted change
"""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

SNAPSHOT = Path(__file__).with_name("schema.json")
FILES_ON_DISK = (
    ("PerfusionLoadConcept", "concept"),
    ("PerfusionLoadSnapshots", "run"),
    ("PerfusionPictureFolder", "folder"),
    ("PerfusionImportCheckpoint", "file"),
)
"""The inputs whose options are what lies in a folder."""
OF_THE_HOST = ("sampler_name", "scheduler")
"""The inputs whose options are what the host knows."""


def read_snapshot() -> dict[str, Any]:
    return json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def perfusion_schemas(object_info: dict[str, Any]) -> dict[str, Any]:
    """Our nodes out of a server's ``/object_info``: inputs in order, outputs in order, and every word a user reads."""
    return {name: _node(name, info) for name, info in object_info.items() if name.startswith("Perfusion")}


def _node(name: str, info: dict[str, Any]) -> dict[str, Any]:
    outputs = zip(info["output_name"], info["output"], info["output_tooltips"], strict=True)
    return {
        "display_name": info["display_name"],
        "description": info["description"],
        "inputs": {
            key: _input(name, key, group, *spec)
            for group in ("required", "optional")
            for key, spec in info["input"].get(group, {}).items()
        },
        "outputs": [{"name": label, "type": kind, "tooltip": tooltip} for label, kind, tooltip in outputs],
    }


def _input(node: str, key: str, group: str, kind: str | list, settings: dict[str, Any]) -> dict[str, Any]:
    # Older hosts give the options in the type's place.
    entry = {"type": "COMBO" if isinstance(kind, list) else kind, "tooltip": settings["tooltip"]}
    if group == "optional":
        entry["optional"] = True
    if entry["type"] == "COMBO" and (node, key) not in FILES_ON_DISK and key not in OF_THE_HOST:
        entry["options"] = kind if isinstance(kind, list) else settings["options"]
    return entry | {name: settings[name] for name in ("default", "min", "max", "step") if name in settings}


def main() -> None:
    with urllib.request.urlopen(f"http://{sys.argv[1]}/object_info", timeout=60) as answer:
        schemas = perfusion_schemas(json.load(answer))
    SNAPSHOT.write_text(json.dumps(schemas, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
