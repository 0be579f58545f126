"""What the tests send of an official template, against what the browser itself sends when a user opens it and runs."""

from __future__ import annotations

import json

import pytest

from builders.browser import OPEN, new_page
from builders.family_templates import SAVERS, templates
from builders.ui_workflows import to_api

SENT = "async () => (await app.graphToPrompt()).output"
ONLY_SHOWN = {"preview", "previewMode"}
"""What frontends before 1.49 also send of Preview as Text, and no server reads."""


def test_a_template_is_sent_as_the_browser_sends_it(host, chromium):
    """Subgraphs unfolded, bypassed nodes left out, every value as saved: else the tests try what no user runs."""
    known = host.get("/object_info")
    found = [template for template in templates() if not template.unfit(known)]
    if not found:
        pytest.skip("comfyui-workflow-templates has no template of these models")
    page = new_page(chromium, host, False)
    for template in found:
        page.evaluate(OPEN, json.dumps(template.saved))
        savers = {node["id"] for node in template.flat["nodes"] if node["type"] in SAVERS}
        sent = {name: node for name, node in page.evaluate(SENT).items() if name not in savers}
        ours = to_api({**template.flat, "nodes": [n for n in template.flat["nodes"] if n["id"] not in savers]}, host)
        assert {name: (node["class_type"], read(node["inputs"])) for name, node in sent.items()} == {
            name: (node["class_type"], node["inputs"]) for name, node in ours.items()
        }, template.name
    page.close()


def read(inputs: dict) -> dict:
    return {name: value for name, value in inputs.items() if name not in ONLY_SHOWN}
