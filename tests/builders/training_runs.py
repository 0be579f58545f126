"""Short trainings on a real server: their workflow, their files, and what their node shows."""

from __future__ import annotations

from pathlib import Path

from .server import Server
from .workflows import Workflow, image_list, load, train

STEPS = 12


def training(server: Server, **settings) -> tuple[Workflow, str]:
    """A workflow that trains on two pictures of different sizes; the Train node's id."""
    graph = Workflow()
    node = train(graph, image_list(graph, *server.shots[:2]), load(graph), **settings)
    graph.add("PreviewAny", source=node[2])
    return graph, node.name


def trained_files(server: Server, word: str) -> list[Path]:
    return sorted((server.folder / "output/perfusion/trained").glob(f"{word}_*.safetensors"))


def texts(collected: list[bytes]) -> list[str]:
    """The lines a node showed, from binary messages."""
    found = []
    for data in collected:
        length = int.from_bytes(data[:4], "big")
        found.append(data[4 + length :].decode(errors="replace"))
    return found


class Watch:
    """Collects progress texts, preview pictures and steps; interrupts after ``cancel_at`` steps."""

    def __init__(self, node: str, cancel_at: int | None = None) -> None:
        self.node, self.cancel_at = node, cancel_at
        self.lines: list[bytes] = []
        self.previews = 0
        self.steps: list[int] = []

    def __call__(self, server: Server, event: dict) -> None:
        if event["type"] == "binary":
            kind = event["data"]["kind"]
            if kind == 3:
                self.lines.append(event["data"]["bytes"])
            elif kind in (1, 4):
                self.previews += 1
        if event["type"] == "progress" and event["data"]["node"] == self.node:
            self.steps.append(event["data"]["value"])
            if event["data"]["value"] == self.cancel_at and event["data"]["max"] == STEPS:
                server.interrupt()
