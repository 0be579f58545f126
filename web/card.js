/** Under a concept combo: the chosen concept's picture and what it is. A press opens the picker. */

import { app } from "../../scripts/app.js"
import { details } from "./concepts.js"
import { addDisplay, chain, element } from "./dom.js"
import { valueOf, widgetOf } from "./graph.js"
import { chooseConcept } from "./picker.js"
import { face, facts } from "./portrait.js"
import { text } from "./texts.js"

const HEIGHT = 76

const cards = new Map()

export function addCard(node, name) {
  const widget = widgetOf(node, name)
  if (!widget) return
  const card = element("button", { class: "perfusion-card", type: "button", onclick: () => choose(node, widget) })
  addDisplay(node, `perfusion_card_${name}`, card, HEIGHT)
  const refresh = () => show(card, valueOf(node, name))
  cards.set(card, refresh)
  chain(widget, "callback", refresh)
  chain(node, "onConfigure", refresh)
  chain(node, "onConnectionsChange", () => queueMicrotask(refresh))
  chain(node, "onRemoved", () => cards.delete(card))
  refresh()
}

export function refreshCards() {
  for (const refresh of cards.values()) refresh()
}

async function choose(node, widget) {
  const values = widget.options.values
  const names = typeof values === "function" ? values(widget, node) : values
  const chosen = await chooseConcept([...(names ?? [])], widget.value)
  if (chosen === undefined || chosen === widget.value) return
  widget.value = chosen
  widget.callback?.(chosen, app.canvas, node)
  app.canvas.setDirty(true, true)
  const tracker = app.extensionManager?.workflow?.activeWorkflow?.changeTracker
  ;(tracker?.captureCanvasState ?? tracker?.checkState)?.call(tracker)
}

/** Only a change is drawn: an element that is replaced between the press and the release of a button gets no click. */
async function show(card, name) {
  card.perfusionName = name
  const found = name ? await details(name) : undefined
  const shown = JSON.stringify([name, found])
  if (card.perfusionName !== name || card.perfusionShown === shown) return
  card.perfusionShown = shown
  card.title = text("choose")
  card.replaceChildren(face(found), facts(name, found, name ? text("noSuchConcept") : text("noConcept")))
}
