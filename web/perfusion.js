/** What the browser adds to the nodes: pictures of values that live in ordinary widgets. Without it the pack is whole. */

import { app } from "../../scripts/app.js"
import { api } from "../../scripts/api.js"
import { addCard, refreshCards } from "./card.js"
import { remountDisplays } from "./dom.js"
import { addGateView, refreshGateViews } from "./gate_view.js"
import { keepLine, sayLines } from "./lines.js"
import { readTexts } from "./texts.js"
import { sayWaiting, showTraining, stopTrainings, tellSaved } from "./training.js"

const APPLY = "PerfusionApplyKeyLockedAttention"
/** Milliseconds. */
const TYPING_PAUSE = 300

let typing

app.registerExtension({
  name: "Perfusion",

  async init() {
    document.head.append(styleSheet())
    await readTexts()
    api.addEventListener("perfusion.training", ({ detail }) => showTraining(detail))
    api.addEventListener("perfusion.saved", ({ detail }) => tellSaved(detail))
    api.addEventListener("execution_interrupted", stopTrainings)
    api.addEventListener("execution_error", stopTrainings)
    api.addEventListener("perfusion.warning", ({ detail }) => keepLine(detail, "warn"))
    api.addEventListener("perfusion.told", ({ detail }) => keepLine(detail, "info"))
    for (const end of ["execution_success", "execution_interrupted", "execution_error"]) {
      api.addEventListener(end, sayLines)
      api.addEventListener(end, sayWaiting)
    }
    api.addEventListener("graphChanged", refreshAll)
    document.addEventListener("input", afterTyping)
  },

  nodeCreated(node) {
    if (node.comfyClass === APPLY) addGateView(node)
    for (const name of conceptInputs(node.constructor.nodeData)) addCard(node, name)
  },

  afterConfigureGraph() {
    refreshAll()
    requestAnimationFrame(() => requestAnimationFrame(remountDisplays))
  },

  refreshComboInNodes() {
    refreshCards()
  },
})

/** The frontend tells of a change only when a text is left. */
function afterTyping() {
  clearTimeout(typing)
  typing = setTimeout(refreshGateViews, TYPING_PAUSE)
}

function refreshAll() {
  refreshCards()
  refreshGateViews()
}

function styleSheet() {
  const link = document.createElement("link")
  link.rel = "stylesheet"
  link.href = new URL("./perfusion.css", import.meta.url)
  return link
}

/** Names of a node's inputs that choose a concept file, by the mark that our schemas give them. */
function conceptInputs(definition) {
  const inputs = { ...definition?.input?.required, ...definition?.input?.optional }
  return Object.keys(inputs).filter(name => inputs[name]?.[1]?.perfusion_concept_file)
}
