"""A long queue: four concepts in turn, 200 pictures."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from builders.server import Server
from builders.workflows import picture

CONCEPTS = {"teddy": "teddy_t", "mug": "mug_m", "cat": "cat_c", "boat": "boat_b"}
ITEMS, WARM = 200, 20
TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(process: int) -> float:
    """Time spent computing, by all threads: other load on the machine does not count."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_megabytes(process: int) -> float:
    line = next(line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_200_pictures_of_four_concepts_are_right_leave_no_memory_behind_and_do_not_slow_down(
    comfyui_path, host_folder, checkpoint
):
    """A night's queue of several concepts ends as it began: right, as fast, and in the same memory."""
    first, memory, spent = {}, [], []
    folder = host_folder()
    # A text encoder of 12 layers would take six of seven seconds, and each would hide what a leak costs.
    (folder / "models/checkpoints/sd1.safetensors").unlink()
    (folder / "models/checkpoints/sd1.safetensors").symlink_to(checkpoint("sd1_quick"))
    with Server(comfyui_path, folder) as server:
        for item in range(ITEMS):
            file, word = list(CONCEPTS.items())[item % len(CONCEPTS)]
            # Spaces make another prompt for the host's cache and the same one for the text encoder.
            prompt = f"a photo of a {word}" + " " * (item // len(CONCEPTS))
            graph, node = picture(prompt, [(f"{file}.safetensors", {})], steps=1)
            before = processor_seconds(server.process.pid)
            drawn = server.pictures(server.run(graph), node)
            spent.append(processor_seconds(server.process.pid) - before)
            np.testing.assert_array_equal(drawn, first.setdefault(file, drawn))
            memory.append(resident_megabytes(server.process.pid))
    assert len({drawn.tobytes() for drawn in first.values()}) == len(CONCEPTS)
    growth = max(memory[-WARM:]) - max(memory[:WARM])
    # A leaked edit would be 0.1 MB a picture, a leaked copy of the model 170 MB.
    assert growth < 16, f"{growth:.0f} MB more after {ITEMS} pictures than after {WARM}"
    early, late = np.median(spent[WARM : WARM + 60]), np.median(spent[-60:])
    # Every leaked hook or patch would work on every later picture: 200 of them double its time and more.
    assert late < 1.5 * early, f"a picture took {early:.3f} s of computing at first and {late:.3f} s in the end"
