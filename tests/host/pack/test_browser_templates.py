"""What the tests send of an official template, against what the browser itself sends when a user opens it and runs."""

from __future__ import annotations

import hashlib
import json
from functools import cache

import pytest

from builders.browser import OPEN, new_page
from builders.family_templates import SAVERS, SWITCHED_ON, templates
from builders.older_hosts import skip_without
from builders.ui_workflows import to_api

SENT = "async () => (await app.graphToPrompt()).output"
ONLY_SHOWN = {"preview", "previewMode", "compare_view"}
"""What a frontend also sends and changes no picture: before 1.49 of Preview as Text, and of Image Compare."""


def test_a_template_is_sent_as_the_browser_sends_it(host, chromium):
    """Subgraphs unfolded, bypassed nodes left out, every value as saved: else the tests try what no user runs."""
    skip_without("node definitions of the official templates' time")
    known = host.get("/object_info")
    # Frontends send what is in a bypassed subgraph inside another; the trials run such a template both ways.
    found = [each for each in templates() if not each.unfit(known) and each.name not in SWITCHED_ON]
    if not found:
        pytest.skip("comfyui-workflow-templates has no template of these models")
    page = new_page(chromium, host, False)
    for template in found:
        page.evaluate(OPEN, json.dumps(template.saved))
        savers = {node["id"] for node in template.flat["nodes"] if node["type"] in SAVERS}
        sent = {name: node for name, node in page.evaluate(SENT).items() if name not in savers}
        ours = to_api({**template.flat, "nodes": [n for n in template.flat["nodes"] if n["id"] not in savers]}, host)
        assert told(sent) == told(ours), template.name
    page.close()


def told(nodes: dict) -> list[tuple[str, str]]:
    """Every node as (type, inputs), links by what they lead to: a browser may number the nodes of subgraphs anew."""

    @cache
    def one(name: str) -> tuple[str, str]:
        inputs = {key: value for key, value in nodes[name]["inputs"].items() if key not in ONLY_SHOWN}
        linked = {key: [digest(value[0]), value[1]] for key, value in inputs.items() if is_link(value, nodes)}
        return nodes[name]["class_type"], json.dumps(inputs | linked, sort_keys=True)

    @cache
    def digest(name: str) -> str:
        return hashlib.sha256("".join(one(name)).encode()).hexdigest()[:12]

    return sorted(one(name) for name in nodes)


def is_link(value: object, nodes: dict) -> bool:
    """As ComfyUI tells a link from a value: [a node's id, the number of its output]."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and value[0] in nodes
