"""What nodes say as messages: where the frontend takes their lines away, and never twice."""

from __future__ import annotations

from builders.browser import open_workflow
from builders.ui_workflows import USE, shipped

APPLY = "PerfusionApplyKeyLockedAttention"
WARN = """
([kind, text]) => {
  const node = app.graph.nodes.find(node => node.type === kind)
  const tell = (name, detail) => app.api.dispatchEvent(new CustomEvent(name, { detail }))
  tell('perfusion.warning', { node: String(node.id), text })
  tell('execution_success', { prompt_id: 'none' })
}
"""
LINE = """
kind => app.graph.nodes.find(node => node.type === kind)
  .addWidget('text', '$$node-text-preview', 'It stays.', () => {}, { serialize: false }).serialize = false
"""


def test_a_warning_is_seen_where_the_frontend_takes_a_nodes_line_away(page):
    """With a newer frontend a job's end clears the nodes' lines: why a concept had no effect is then a message."""
    open_workflow(page, shipped(USE))
    page.evaluate(WARN, [APPLY, "It has no effect."])
    page.wait_for_function("() => document.body.innerText.includes('It has no effect.')")
    page.evaluate(LINE, APPLY)
    page.evaluate(WARN, [APPLY, "It is said already."])
    page.wait_for_timeout(600)
    assert "It is said already." not in page.inner_text("body"), "a line that stays is not said twice"
    open_workflow(page, shipped(USE))
    assert page.complaints == []


SAVED_TWICE = """
word => {
  const tell = (name, detail) => app.api.dispatchEvent(new CustomEvent(name, { detail }))
  const files = [`trained/${word}_0123.safetensors`, `${word}.safetensors`]
  for (const file of files) tell('perfusion.saved', { word, file })
  tell('execution_success', { prompt_id: 'none' })
}
"""


def test_a_concept_that_train_keeps_and_save_writes_is_told_once(page):
    """Who connects Save behind Train reads one message, with the file that Save wrote."""
    word = "vue_twice" if page.vue else "canvas_twice"
    page.evaluate(SAVED_TWICE, word)
    page.wait_for_function("said => document.body.innerText.includes(said)", arg=f"The file is {word}.safetensors")
    assert f"trained/{word}" not in page.inner_text("body")
    assert page.complaints == []
