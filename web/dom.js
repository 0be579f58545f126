/** Elements, and the one way in which our displays stand on a node. */

import { app } from "../../scripts/app.js"

const SVG = "http://www.w3.org/2000/svg"

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
  content.addEventListener("wheel", event => app.canvas.processMouseWheel(event), { passive: true })
  return widget
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
