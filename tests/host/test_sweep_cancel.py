"""Cancel in the middle of Perfusion Sweep and of Evaluate Perfusion Concept, on the real server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from builders.judging_nodes import evaluate, sweep
from builders.workflows import Workflow, load, picture, training_pictures

PLAIN = picture("a photo of a bear", steps=1)
STEPS = 2
LEAK = 60
"""Megabytes. One copy of the model's own weights would be 170."""


class CancelAt:
    """Cancels when the sampler begins its second step of the picture of that number."""

    def __init__(self, picture_number: int) -> None:
        self.picture_number, self.begun = picture_number, 0

    def __call__(self, server, event: dict) -> None:
        if event["type"] == "progress" and event["data"]["value"] == 1:
            self.begun += 1
            if self.begun == self.picture_number:
                server.interrupt()


def judged(server, node, seed: int = 5) -> Workflow:
    graph = Workflow()
    loaded = load(graph)
    concept = graph.add("PerfusionLoadConcept", concept="teddy.safetensors")[0]
    images = graph.add("LoadImage", image=training_pictures(server.folder, 1)[0])[0]
    made = node(graph, loaded, concept, images=images, steps=STEPS, seed=seed, prompts="a photo of a {} on a beach")
    graph.add("SaveImage", images=made[0], filename_prefix="judged")
    return graph


def files(folder: Path) -> dict[str, int]:
    kept = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".log")
    return {str(path): path.stat().st_size for path in kept}


def resident_megabytes(process: int) -> float:
    line = next(line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@pytest.mark.parametrize(("node", "pictures"), [(sweep, 5), (evaluate, 4)], ids=["sweep", "evaluate"])
def test_cancel_stops_within_a_step_and_leaves_nothing_behind(server, node, pictures):
    """Who cancels a long grid waits for no more pictures, finds no half of a file, and goes on working as before."""
    before = server.pictures(server.run(PLAIN[0]), PLAIN[1])
    graph, memory = judged(server, node), []
    there = files(server.folder)
    for number in (2, 3, 2):
        cancel = CancelAt(number)
        result = server.run(graph, cancel)
        assert result.interrupted and cancel.begun == number
        assert result.events_of("execution_interrupted")[0]["node_type"].startswith("Perfusion")
        assert any(line.startswith(f"{number}/") for line in result.texts()), result.texts()
        assert files(server.folder) == there
        if Path("/proc/self/status").exists():
            memory.append(resident_megabytes(server.process.pid))
    assert not memory or memory[-1] - memory[0] < LEAK, memory
    text = picture("a photo of a  bear", steps=1)
    np.testing.assert_array_equal(server.pictures(server.run(text[0]), text[1]), before)
    whole = CancelAt(0)
    result = server.run(graph, whole)
    assert not result.interrupted and whole.begun == pictures
    assert len(files(server.folder)) > len(there)
