"""One queue, many branches of one checkpoint: every picture is the one it gives alone in a fresh host."""

from __future__ import annotations

import numpy as np
import pytest

from builders.server import Server, WorkflowError
from builders.workflows import Output, picture

TEDDY, MUG = ("teddy.safetensors", {}), ("mug.safetensors", {"bias": -0.3})
PROMPT = "a teddy_t beside a mug_m"
BRANCHES = {"A": [TEDDY], "B": [MUG], "AB": [TEDDY, MUG], "BA": [MUG, TEDDY], "none": []}


def workflow(branch: str, seed: int, **settings):
    return picture(PROMPT, BRANCHES[branch], seed=seed, **settings)


def tour(names: list[str]) -> list[str]:
    """A walk over all ordered pairs of branches, each pair once (Hierholzer's Euler circuit)."""
    left = {name: list(names) for name in names}
    stack, walk = [names[0]], []
    while stack:
        if left[stack[-1]]:
            stack.append(left[stack[-1]].pop())
        else:
            walk.append(stack.pop())
    return walk[::-1]


def test_the_tour_visits_every_ordered_pair():
    """Negative control: every branch follows every other one in the test below."""
    walk = tour(list(BRANCHES))
    assert len(set(zip(walk, walk[1:], strict=False))) == len(BRANCHES) ** 2 == len(walk) - 1


@pytest.fixture(scope="module")
def alone(comfyui_path, host_folder):
    """Every branch's pictures, each branch in a server of its own."""
    pictures = {}
    for branch in BRANCHES:
        with Server(comfyui_path, host_folder()) as server:
            for seed in range(6):
                graph, node = workflow(branch, seed)
                pictures[branch, seed] = server.pictures(server.run(graph), node)
    return pictures


@pytest.mark.slow
def test_branches_in_every_order_with_a_cancel_and_an_error_between_them(comfyui_path, host_folder, alone):
    """No concept shows in the next picture of the queue, not even after a cancel or an error."""
    seen = dict.fromkeys(BRANCHES, 0)
    with Server(comfyui_path, host_folder()) as server:
        for number, branch in enumerate(tour(list(BRANCHES))):
            if number == 8:
                _raise_while_sampling(server)
            if number == 16:
                _cancel_while_sampling(server)
            graph, node = workflow(branch, seen[branch])
            np.testing.assert_array_equal(server.pictures(server.run(graph), node), alone[branch, seen[branch]])
            seen[branch] += 1


@pytest.mark.slow
def test_the_order_of_two_concepts_does_not_change_a_bit(alone):
    """Two concepts draw the same picture in either order, for every seed."""
    for seed in range(6):
        np.testing.assert_array_equal(alone["AB", seed], alone["BA", seed])
        assert not np.array_equal(alone["AB", seed], alone["A", seed])


def _raise_while_sampling(server: Server) -> None:
    graph, _ = workflow("AB", 90, steps=4)
    sampler = next(name for name, node in graph.items() if node["class_type"] == "KSampler")
    raising = graph.add("HelperRaise", model=Output(*graph[sampler]["inputs"]["model"]))
    graph[sampler]["inputs"]["model"] = [raising.name, 0]
    with pytest.raises(WorkflowError, match="raised on purpose"):
        server.run(graph)


def _cancel_while_sampling(server: Server) -> None:
    graph, _ = workflow("BA", 91, steps=200)
    result = server.run(graph, _interrupt_at_first_step)
    assert result.interrupted


def _interrupt_at_first_step(server: Server, event: dict) -> None:
    if event["type"] == "progress" and event["data"]["value"] == 1:
        server.interrupt()
