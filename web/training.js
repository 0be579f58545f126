/** While a training runs: its loss above the newest preview, and what is left. When it ends: fresh lists and a word. */

import { app } from "../../scripts/app.js"
import { refreshCards } from "./card.js"
import { forget } from "./concepts.js"
import { addDisplay, chain, element, svg } from "./dom.js"
import { refreshGateViews } from "./gate_view.js"
import { isSavedToo, nodeOfExecution } from "./graph.js"
import { lossCurve, timeLeft } from "./loss.js"
import { message } from "./messages.js"
import { text } from "./texts.js"

const TRAIN = "PerfusionTrainConcept"
const BOX = { width: 180, height: 60 }
const HEIGHT = 92
const READ_SECONDS = 10

/** What Train keeps by itself; what Save writes of it is its copy. */
const KEPT = /^trained[\\/]/

const views = new Map()
/** Files that Train kept, of which Save is about to write a copy. */
let waiting = []

/** A training told how it goes: the whole curve each time, so that nothing is lost when the page is loaded anew. */
export function showTraining(told) {
  const node = nodeOfExecution(told.node)
  if (node?.comfyClass !== TRAIN) return
  const view = views.get(node) ?? addView(node)
  draw(view, told, told.step >= told.steps ? ["trained", { steps: told.steps }] : timeLeft(told.seconds_left))
}

/** The queue stopped: no time is left to count, and the curve stays. */
export function stopTrainings() {
  for (const view of views.values()) if (view.perfusionRuns) draw(view, view.perfusionTold, ["stopped", {}])
}

/** A concept file is there: every combo lists it, and a message names its word, once where Save writes what Train kept. */
export async function tellSaved({ node, word, file }) {
  waiting = waiting.filter(kept => kept.word !== word)
  const waits = KEPT.test(file) && isSavedToo(nodeOfExecution(node))
  if (waits) waiting.push({ word, file })
  await refreshLists()
  if (!waits) saySaved({ word, file })
}

/** The job ended: what Train kept and no Save wrote is told after all. */
export function sayWaiting() {
  for (const kept of waiting) saySaved(kept)
  waiting = []
}

function saySaved({ word, file }) {
  message("success", text("savedTitle", { word }), text("savedDetail", { word, file }), READ_SECONDS)
}

async function refreshLists() {
  forget()
  await (app.reloadNodeDefs ? app.reloadNodeDefs() : app.refreshComboInNodes())
  refreshCards()
  refreshGateViews()
}

function addView(node) {
  const view = element("div", { class: "perfusion-training" })
  addDisplay(node, "perfusion_training", view, HEIGHT)
  views.set(node, view)
  chain(node, "onRemoved", () => views.delete(node))
  node.setSize?.([node.size[0], Math.max(node.size[1], node.computeSize()[1])])
  return view
}

function draw(view, told, [key, values]) {
  const { losses, step, steps } = told
  view.perfusionTold = told
  view.perfusionRuns = step < steps && key !== "stopped"
  const loss = losses.at(-1)?.[1]
  const words = [
    element("span", {}, loss === undefined ? "" : text("loss", { loss: loss.toPrecision(3) })),
    element("span", { class: "perfusion-left" }, text(key, values)),
  ]
  view.replaceChildren(element("div", { class: "perfusion-told" }, ...words), curve(losses, steps))
}

function curve(losses, steps) {
  const { width, height } = BOX
  const points = lossCurve(losses, steps, BOX).map(point => point.map(value => value.toFixed(2)).join(" "))
  const parts = points.length
    ? [svg("path", { class: "perfusion-line", d: `M ${points.join(" L ")}` }), svg("path", { class: "perfusion-dots", d: `M ${points.at(-1)} h 0` })]
    : []
  return svg(
    "svg",
    { viewBox: `-2 -3 ${width + 4} ${height + 6}`, preserveAspectRatio: "none", class: "perfusion-curve" },
    svg("title", {}, text("lossTip")),
    svg("path", { class: "perfusion-axis", d: `M 0 ${height} H ${width}` }),
    ...parts,
  )
}
