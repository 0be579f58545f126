"""Perfusion Text Statistics on the real server: what it measures over, and what it says."""

from __future__ import annotations

import re

from builders.server import CLEARED, Server
from builders.workflows import Workflow, load

OWN = ["a red box", "  a blue house  ", "a tree"]


def shown(server: Server, captions: list[str]) -> str:
    graph = Workflow()
    node = graph.add("PerfusionTextStatistics", clip=load(graph)[1], captions=100, own_captions="\n".join(captions))
    return server.run(graph).outputs[node.name]["text"][0]


def test_own_captions_are_measured_in_place_of_the_shipped_ones_and_blank_lines_do_not_count(server):
    """Who writes captions gets statistics of them, of every line and of nothing else."""
    text = shown(server, OWN)
    assert re.fullmatch(rf"{77 * len(OWN)} tokens of encoder \w{{16}}\.", text)
    assert shown(server, ["", *OWN, "   "]) == text
    assert shown(server, OWN[:2]) != text


def test_a_long_measuring_says_what_it_does_and_when_it_ends(server):
    """Who waits for many minutes on a processor knows what for; the line makes room for what was measured."""
    graph = Workflow()
    captions = "\n".join(f"a red box number {number}" for number in range(20))
    node = graph.add("PerfusionTextStatistics", clip=load(graph)[1], captions=100, own_captions=captions)
    result = server.run(graph)
    *said, measured = result.texts()
    assert [measured] == result.outputs[node.name]["text"]
    line = r"Measuring the text encoder, once for this CLIP: 16/20 captions · 00:0\d:\d\d left"
    assert [bool(re.fullmatch(line, text)) for text in said] == [True, False] and said[-1] == CLEARED
