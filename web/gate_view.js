/** On Apply: the gate's curve, live while bias and temperature are dragged, and whether a prompt names the concept. */

import { details } from "./concepts.js"
import { addDisplay, chain, element, svg } from "./dom.js"
import { across, gateCurve, gateStrength, paperBias } from "./gate.js"
import { appliedBefore, conceptOf, promptsOf, scheduleOf, valueOf } from "./graph.js"
import { text } from "./texts.js"
import { names, strangers } from "./words.js"

const BOX = { width: 180, height: 60 }
const SHOWN = ["bias", "temperature", "leak_free", "key_locking"]
const HEIGHT = 112

const views = new Map()

export function addGateView(node) {
  const view = element("div", { class: "perfusion-gate" })
  addDisplay(node, "perfusion_gate", view, HEIGHT)
  const refresh = () => show(node, view)
  views.set(node, refresh)
  for (const widget of node.widgets ?? []) if (SHOWN.includes(widget.name)) chain(widget, "callback", refresh)
  chain(node, "onConfigure", refresh)
  chain(node, "onConnectionsChange", () => queueMicrotask(refresh))
  chain(node, "onRemoved", () => views.delete(node))
  refresh()
}

export function refreshGateViews() {
  for (const refresh of views.values()) refresh()
}

async function show(node, view) {
  view.perfusionLine ??= note("")
  draw(node, view)
  const concept = await conceptOn(node)
  if (view.perfusionByPosition !== Boolean(concept?.byPosition)) {
    view.perfusionByPosition = Boolean(concept?.byPosition)
    draw(node, view)
  }
  const { said, warns } = await told(node)
  view.perfusionLine.textContent = said
  view.perfusionLine.title = said
  view.perfusionLine.classList.toggle("perfusion-warns", warns)
}

function draw(node, view) {
  const [bias, temperature, leakFree, keyLocking] = SHOWN.map(name => valueOf(node, name))
  const known = [bias, temperature].every(Number.isFinite) && temperature > 0
  const gate = { bias, temperature, leakFree: Boolean(leakFree), byPosition: view.perfusionByPosition }
  const points = scheduleOf(node)
  const gates = (points ?? []).map(({ shift }) => ({ ...gate, bias: bias + shift }))
  const drawn = known ? [curve(gate, gates, paperBias(keyLocking)), marks(gate)] : [note(text("gateFromOutside"))]
  const said = scheduled(points, bias, valueOf(node, "visual_strength"))
  view.replaceChildren(...drawn, ...(said ? [note(said)] : []), view.perfusionLine)
}

/** What a schedule makes of the dials, from its first point to its last; empty without one. */
function scheduled(points, bias, strength) {
  if (points?.length === 0) return ""
  if (!points || ![bias, strength].every(Number.isFinite)) return text("scheduledElsewhere")
  const short = number => String(Math.round(1000 * number) / 1000)
  const [start, end] = points.map(point => ({
    percent: short(100 * point.percent),
    bias: short(bias + point.shift),
    strength: short(strength * point.strength),
  }))
  return text("scheduled", {
    ...{ startPercent: start.percent, startBias: start.bias, startStrength: start.strength },
    ...{ endPercent: end.percent, endBias: end.bias, endStrength: end.strength },
  })
}

function path(gate) {
  return `M ${gateCurve(gate, BOX).map(point => point.map(value => value.toFixed(2)).join(" ")).join(" L ")}`
}

function curve(gate, scheduledGates, [low, high]) {
  const { width, height } = BOX
  const at = similarity => across(similarity, width)
  const dot = similarity => `M ${at(similarity)} ${(1 - gateStrength(similarity, gate)) * height} h 0`
  const bias = Math.min(width, Math.max(0, at(gate.bias)))
  return svg(
    "svg",
    { viewBox: `-2 -3 ${width + 4} ${height + 6}`, preserveAspectRatio: "none", class: "perfusion-curve" },
    svg("title", {}, text("gateTip")),
    svg("rect", { class: "perfusion-paper", x: at(low), y: 0, width: at(high) - at(low), height }),
    svg("path", { class: "perfusion-axis", d: `M 0 ${height} H ${width} M ${at(0)} 0 V ${height} M ${at(1)} 0 V ${height}` }),
    svg("path", { class: "perfusion-bias", d: `M ${bias} 0 V ${height}` }),
    ...scheduledGates.map(other => svg("path", { class: "perfusion-scheduled", d: path(other) })),
    svg("path", { class: "perfusion-line", d: path(gate) }),
    svg("path", { class: "perfusion-dots", d: `${dot(0)} ${dot(1)}` }),
  )
}

function marks(gate) {
  const place = (similarity, key) => {
    const percent = Math.round(100 * gateStrength(similarity, gate))
    const left = `left: ${across(similarity, 100)}%`
    return element("span", { style: left }, text(key, { percent }))
  }
  return element("div", { class: "perfusion-marks" }, place(0, "gateOther"), place(1, "gateOwn"))
}

function note(said) {
  return element("div", { class: "perfusion-note", title: said }, said)
}

/** The line under the curve: in how many prompts the word stands, and words that look like concepts and are none. */
async function told(node) {
  const [own, ...others] = await Promise.all(appliedBefore(node).map(async apply => (await conceptOn(apply))?.word))
  if (!own) return { said: "", warns: false }
  const { texts, open } = promptsOf(node)
  const count = texts.filter(prompt => names(prompt, own)).length
  const strange = others.every(Boolean) ? texts.flatMap(prompt => strangers(prompt, [own, ...others])) : []
  if (strange.length && isLast(node)) {
    return { said: text("wordUnknown", { words: [...new Set(strange)].join(", ") }), warns: true }
  }
  if (count === 0 && (open || !texts.length)) return { said: "", warns: false }
  return { said: text(count ? "wordNamed" : "wordMissing", { word: own, count, prompts: texts.length }), warns: !count }
}

/** Whether no further Apply node reads this one: of a chain, the last one speaks for all. */
function isLast(node) {
  return ![...views.keys()].some(other => other !== node && appliedBefore(other).slice(1).includes(node))
}

/** `word` and `byPosition` of an Apply node's concept, as far as the browser can know them. */
async function conceptOn(apply) {
  const concept = conceptOf(apply)
  return concept.file ? details(concept.file) : concept
}
