"""What nodes say as messages: where the frontend takes their lines away, and never twice."""

from __future__ import annotations

from builders.browser import open_workflow
from builders.ui_workflows import TRAIN, USE, shipped

APPLY = "PerfusionApplyKeyLockedAttention"
WARN = """
([kind, text, line]) => {
  const node = app.graph.nodes.find(node => node.type === kind)
  const tell = (name, detail) => app.api.dispatchEvent(new CustomEvent(name, { detail }))
  if (line) tell('progress_text', { nodeId: String(node.id), text })
  tell('perfusion.warning', { node: String(node.id), text })
  tell('execution_success', { prompt_id: 'none' })
}
"""
STANDS = """
kind => app.graph.nodes.find(node => node.type === kind).widgets.some(widget => widget.name === '$$node-text-preview')
"""
SHORT = "It is short."
LONG = "It has no effect, and why it has none takes more rows than the classic renderer gives a line. " * 2


def test_a_warning_is_seen_where_the_frontend_takes_a_nodes_line_away(page):
    """With a newer frontend a job's end clears the nodes' lines: why a concept had no effect is then a message."""
    open_workflow(page, shipped(USE))
    page.evaluate(WARN, [APPLY, "It has no effect.", False])
    page.wait_for_function("() => document.body.innerText.includes('It has no effect.')")
    assert page.complaints == []


def test_a_line_that_is_cut_short_is_seen_as_a_message_too(page):
    """The classic renderer gives a line two rows: why a concept has no effect was cut in the middle of a word."""
    open_workflow(page, shipped(USE))
    page.evaluate("kind => app.canvas.centerOnNode(app.graph.nodes.find(node => node.type === kind))", APPLY)
    for text, cut in ((SHORT, False), (LONG.strip(), not page.vue)):
        page.evaluate(WARN, [APPLY, text, True])
        page.wait_for_timeout(1500)
        said = page.locator("[data-sonner-toast], .p-toast-message").filter(has_text=text).count()
        assert said == (cut or not page.evaluate(STANDS, APPLY)), (text, "is said where it is not seen, and only there")
    assert page.complaints == []


SAVED = """
([kind, word, file]) => {
  const node = String(app.graph.nodes.find(node => node.type === kind).id)
  app.api.dispatchEvent(new CustomEvent('perfusion.saved', { detail: { node, word, file } }))
}
"""
END = "() => app.api.dispatchEvent(new CustomEvent('execution_success', { detail: { prompt_id: 'none' } }))"
SAY = "said => document.body.innerText.includes(said)"
MUTE = "kind => app.graph.nodes.filter(node => node.type === kind).forEach(node => { node.mode = 2 })"


def test_a_concept_that_train_keeps_and_save_writes_is_told_once(page):
    """Who connects Save behind Train reads one message, with the file that Save wrote."""
    word = "vue_twice" if page.vue else "canvas_twice"
    open_workflow(page, shipped(TRAIN))
    page.evaluate(SAVED, ["PerfusionTrainConcept", word, f"trained/{word}_0123.safetensors"])
    page.evaluate(SAVED, ["PerfusionSaveConcept", word, f"{word}.safetensors"])
    page.wait_for_function(SAY, arg=f"The file is {word}.safetensors")
    page.evaluate(END)
    page.wait_for_timeout(600)
    assert f"trained/{word}" not in page.inner_text("body")
    assert page.complaints == []


def test_a_concept_is_told_when_it_is_saved_and_not_at_the_jobs_end(page):
    """Who trains and draws in one job reads the word before the pictures are drawn; a failed Save hides nothing."""
    word = "vue_at_once" if page.vue else "canvas_at_once"
    open_workflow(page, shipped(TRAIN))
    page.evaluate(SAVED, ["PerfusionTrainConcept", f"{word}_waits", f"trained/{word}_waits.safetensors"])
    page.evaluate(MUTE, "PerfusionSaveConcept")
    page.evaluate(SAVED, ["PerfusionTrainConcept", word, f"trained/{word}.safetensors"])
    page.wait_for_function(SAY, arg=f"The file is trained/{word}.safetensors")
    assert f"{word}_waits" not in page.inner_text("body"), "Save is about to write it"
    page.evaluate(END)
    page.wait_for_function(SAY, arg=f"The file is trained/{word}_waits.safetensors")
    assert page.complaints == []
