/** A page of all concepts with their pictures. It gives back a file's name; the combo keeps it. */

import { details } from "./concepts.js"
import { element } from "./dom.js"
import { face, facts } from "./portrait.js"
import { text } from "./texts.js"

/** The name that the user picks among `names`, or undefined. */
export function chooseConcept(names, current) {
  return new Promise(resolve => {
    const search = element("input", { type: "text", role: "searchbox", placeholder: text("search"), "aria-label": text("search") })
    const grid = element("div", { class: "perfusion-grid" })
    const none = element("p", { class: "perfusion-dim", hidden: "" }, text("noneFound"))
    const dialog = element("dialog", { class: "perfusion-picker", "aria-label": text("choose") })
    const pick = name => {
      dialog.perfusionPicked = name
      dialog.close()
    }
    const tiles = names.map(name => tile(name, name === current, () => pick(name)))
    grid.append(...tiles.map(({ button }) => button))
    search.addEventListener("input", () => {
      const wanted = search.value.trim().toLowerCase()
      for (const one of tiles) one.button.hidden = !one.said().includes(wanted)
      none.hidden = tiles.some(({ button }) => !button.hidden)
    })
    none.hidden = tiles.length > 0
    const close = element("button", { type: "button", class: "perfusion-close", "aria-label": text("close"), onclick: () => dialog.close() }, "×")
    dialog.append(element("header", {}, element("h2", {}, text("choose")), search, close), grid, none)
    dialog.addEventListener("click", event => event.target === dialog && dialog.close())
    // The frontend's own keys, such as R, must not act on the graph behind.
    dialog.addEventListener("keydown", event => event.stopPropagation())
    dialog.addEventListener("close", () => {
      dialog.remove()
      resolve(dialog.perfusionPicked)
    })
    document.body.append(dialog)
    dialog.showModal()
    grid.querySelector(".perfusion-current")?.scrollIntoView({ block: "center" })
    search.focus()
  })
}

/** One concept: its button, and what a search looks through. Its details are read when it comes into view. */
function tile(name, isCurrent, onclick) {
  const kind = isCurrent ? "perfusion-tile perfusion-current" : "perfusion-tile"
  const button = element("button", { type: "button", class: kind, title: name, onclick }, element("div", { class: "perfusion-face" }))
  const file = element("div", { class: "perfusion-dim perfusion-file" }, name)
  button.append(file)
  let said = name.toLowerCase()
  details(name).then(found => {
    button.replaceChildren(face(found), facts(name, found, text("noSuchConcept")), file)
    said = [name, found?.word, found?.superclass, found?.base].join(" ").toLowerCase()
  })
  return { button, said: () => said }
}
