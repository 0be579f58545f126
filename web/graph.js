/** Ways through the user's graph. It only reads. */

import { app } from "../../scripts/app.js"

const APPLY = "PerfusionApplyKeyLockedAttention"
const TRAIN = "PerfusionTrainConcept"
const SCHEDULE = "PerfusionSchedule"
const SAVE = "PerfusionSaveConcept"
/** Neither muted nor bypassed. */
const RUNS = 0
const TEXTS = ["customtext", "text", "string"]

/** The node of an execution id: "7", or "4:7" for node 7 inside the subgraph node 4. None if it is not open. */
export function nodeOfExecution(id) {
  let graph = app.rootGraph ?? app.graph
  const path = String(id).split(":")
  for (const step of path.slice(0, -1)) graph = find(graph, step)?.subgraph
  return find(graph, path.at(-1))
}

function find(graph, id) {
  return graph?.nodes?.find(node => String(node.id) === String(id))
}

export function widgetOf(node, name) {
  return node?.widgets?.find(widget => widget.name === name)
}

/** Every open node, those inside subgraphs too. */
function* allNodes(graph = app.rootGraph ?? app.graph) {
  for (const node of graph?.nodes ?? []) {
    yield node
    if (node.subgraph) yield* allNodes(node.subgraph)
  }
}

/** The value of a widget, or of the primitive node wired to it; undefined when another node decides it. */
export function valueOf(node, name) {
  const widget = widgetOf(node, name)
  const slot = slotOf(node, name)
  if (slot === undefined || node.inputs[slot].link == null) return widget?.value
  const source = sourceOf(node, name)
  return source?.type?.startsWith("Primitive") ? source.widgets?.[0]?.value : undefined
}

/** The node that an input is wired to, past reroutes. */
function sourceOf(node, name) {
  const slot = slotOf(node, name)
  let source = slot === undefined ? undefined : node.getInputNode(slot)
  while (source?.type === "Reroute") source = source.getInputNode(0)
  return source ?? undefined
}

function slotOf(node, name) {
  const slot = (node.graph && node.inputs?.findIndex(input => input.name === name)) ?? -1
  return slot >= 0 ? slot : undefined
}

/** The Apply nodes whose concepts a CLIP output of `node` knows: `node` itself and those before it. */
export function appliedBefore(node) {
  const found = []
  for (let at = node, left = 100; at && left > 0; at = upstream(at), left -= 1) if (at.comfyClass === APPLY) found.push(at)
  return found
}

function upstream(node) {
  const name = node.inputs?.find(input => input.type === "CLIP")?.name
  return name === undefined ? undefined : sourceOf(node, name)
}

/** Where an Apply node's concept comes from: the word and gate of a Train node, a file's name, or neither. */
export function conceptOf(apply) {
  const source = sourceOf(apply, "concept")
  if (source?.comfyClass === TRAIN) return { word: valueOf(source, "word"), byPosition: valueOf(source, "gate") === "position" }
  const widget = source?.widgets?.find(one => source.constructor.nodeData?.input?.required?.[one.name]?.[1]?.perfusion_concept_file)
  return widget ? { file: valueOf(source, widget.name) } : {}
}

/** Whether what Train kept is to be saved under a name too, in the same job; a subgraph may do it. */
export function isSavedToo(train) {
  const slot = train?.outputs?.findIndex(output => output.name === "concept") ?? -1
  const walk = (node, from) => (node.getOutputNodes(from) ?? []).some(reader => {
    if (reader.type === "Reroute") return walk(reader, 0)
    return reader.mode === RUNS && (reader.comfyClass === SAVE || Boolean(reader.subgraph))
  })
  return slot >= 0 && walk(train, slot)
}

/**
 * The first and the last point of the schedule on an Apply node, as `{ percent, strength, shift }`: of a chain of
 * schedules, in the order of time. None without a schedule; undefined when the browser cannot know it.
 */
export function scheduleOf(apply) {
  const last = sourceOf(apply, "schedule")
  if (!last) return []
  let first = last
  for (let left = 100; first && left > 0; left -= 1) {
    if (first.comfyClass !== SCHEDULE) return undefined
    const before = sourceOf(first, "prev_schedule")
    if (!before) break
    first = before
  }
  const points = [point(first, "start"), point(last, "end")]
  return points.every(({ percent, strength, shift }) => [percent, strength, shift].every(Number.isFinite)) ? points : undefined
}

function point(schedule, end) {
  const [percent, strength, shift] = [`${end}_percent`, `strength_${end}`, `bias_shift_${end}`].map(name => valueOf(schedule, name))
  return { percent, strength, shift }
}

/**
 * The prompts that read a node's CLIP, past further Apply nodes and LoRA loaders: `texts`, and `open` when a prompt's
 * text comes from another node, so that the browser cannot know it.
 */
export function promptsOf(node) {
  const texts = []
  const seen = new Set()
  let open = false
  const walk = at => {
    if (!at || seen.has(at)) return
    seen.add(at)
    for (const reader of readersOf(at)) {
      const widgets = (reader.widgets ?? []).filter(widget => TEXTS.includes(widget.type))
      if (reader.outputs?.some(output => output.type === "CLIP") || reader.type === "Reroute") walk(reader)
      else if (reader.subgraph || !widgets.length) open = true
      for (const { name } of reader.outputs?.some(output => output.type === "CONDITIONING") ? widgets : []) {
        const value = valueOf(reader, name)
        if (typeof value === "string") texts.push(value)
        else open = true
      }
    }
  }
  walk(node)
  return { texts, open }
}

function readersOf(node) {
  const slots = (node.outputs ?? []).flatMap((output, slot) => (["CLIP", "*"].includes(output.type) ? [slot] : []))
  return slots.flatMap(slot => node.getOutputNodes(slot) ?? [])
}
