/** What nodes said last, shown again where the frontend takes a node's line away when its job ends, or cuts it short. */

import { nodeOfExecution, widgetOf } from "./graph.js"
import { message } from "./messages.js"

const LINE = "$$node-text-preview"
const READ_SECONDS = 20
/** Milliseconds in which the frontend has cleared its lines. */
const CLEARED = 200

const told = new Map()
const shown = new Map()

/** A node warned, or said how it ended (`kind` is `warn` or `info`); it shows the line itself while the job runs. */
export function keepLine({ node, text }, kind) {
  told.set(String(node), { said: text, kind: told.get(String(node))?.kind === "warn" ? "warn" : kind })
}

/** The job ended: what no node shows whole is said as a message, and not again while that stands. */
export function sayLines() {
  const kept = [...told]
  told.clear()
  setTimeout(() => kept.forEach(([id, line]) => say(nodeOfExecution(id), line)), CLEARED)
}

function say(node, { said, kind }) {
  if (!node || (widgetOf(node, LINE) && isSeenWhole(node, said))) return
  const key = `${node.id} ${said}`
  if (Date.now() < (shown.get(key) ?? 0)) return
  shown.set(key, Date.now() + 1000 * READ_SECONDS)
  message(kind, node.title, said, READ_SECONDS)
}

/** Whether a node shows the whole of its line: the classic renderer gives it two rows, and none outside of the view. */
function isSeenWhole(node, said) {
  const places = [...document.querySelectorAll(`.dom-widget, [data-node-id="${node.id}"]`)]
  const lines = places.flatMap(place => [...place.querySelectorAll("*")]).filter(one => bare(one.textContent) === bare(said))
  return lines.some(line => line.clientHeight > 0) && lines.every(line => line.scrollHeight <= line.clientHeight + 1)
}

/** The frontend shows a line's breaks as elements. */
function bare(text) {
  return text.replace(/\s+/g, "")
}
