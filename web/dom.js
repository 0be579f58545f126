/** Elements, and the one way in which our displays stand on a node. */

import { app } from "../../scripts/app.js"

const SVG = "http://www.w3.org/2000/svg"

const displays = new Map()

/** `element("div", { class: "name", onclick: f }, ...children)`; children are elements or texts. */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children)
}

export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children)
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value)
    else if (value !== undefined && value !== null) made.setAttribute(name, value)
  }
  made.append(...children)
  return made
}

/**
 * Put `content` on `node` as a display of at least `height` pixels. It holds no value: it is saved neither in the
 * workflow nor in the prompt, and stands after all widgets, so that the saved values keep their places.
 */
export function addDisplay(node, name, content, height) {
  content.style.minHeight = `${height}px`
  const options = { serialize: false, hideOnZoom: false, getMinHeight: () => height + 20, margin: 10 }
  const widget = node.addDOMWidget(name, "perfusion_display", content, options)
  widget.serialize = false
  content.dataset.perfusion = name
  displays.set(content, node)
  chain(node, "onRemoved", () => displays.delete(content))
  content.addEventListener("wheel", event => app.canvas.processMouseWheel(event), { passive: true })
  return widget
}

/**
 * Put every display where its node is drawn. Undo makes new nodes of the same ids, and Nodes 2.0 goes on showing the
 * elements of the old ones.
 */
export function remountDisplays() {
  for (const [content, node] of displays) {
    if (node.graph !== app.canvas.graph) continue
    const shown = document.querySelector(`[data-node-id="${node.id}"] [data-perfusion="${content.dataset.perfusion}"]`)
    if (shown && shown !== content) shown.replaceWith(content)
  }
}

/** Call `follow` after `object`'s own handler `name`, whoever else has chained it. */
export function chain(object, name, follow) {
  const own = object[name]
  object[name] = function (...given) {
    const result = own?.apply(this, given)
    follow.apply(this, given)
    return result
  }
}
