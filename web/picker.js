/** A page of all concepts with their pictures. It gives back a file's name; the combo keeps it. */

import { details } from "./concepts.js"
import { element } from "./dom.js"
import { face, facts, title } from "./portrait.js"
import { text } from "./texts.js"

/** Where Train keeps what it made, whether it is saved under a name too or not; with the separators of any system. */
const KEPT = /^trained[\\/]/

/** The name that the user picks among `names`, or undefined. */
export function chooseConcept(names, current) {
  return new Promise(resolve => {
    const search = element("input", { type: "text", role: "searchbox", placeholder: text("search"), "aria-label": text("search") })
    const none = element("p", { class: "perfusion-dim", hidden: "" }, text("noneFound"))
    const dialog = element("dialog", { class: "perfusion-picker", "aria-label": text("choose") })
    const pick = name => {
      dialog.perfusionPicked = name
      dialog.close()
    }
    const tiles = names.map(name => tile(name, name === current, () => pick(name)))
    const kept = tiles.filter(({ name }) => KEPT.test(name))
    const saved = tiles.filter(one => !kept.includes(one))
    const fold = folded(kept, saved.length === 0 || KEPT.test(current))
    const all = element("div", { class: "perfusion-all" }, grid(saved), fold.details)
    search.addEventListener("input", () => {
      const wanted = search.value.trim().toLowerCase()
      for (const one of tiles) one.button.hidden = !one.said().includes(wanted)
      fold.searched(wanted)
      none.hidden = tiles.some(({ button }) => !button.hidden)
    })
    none.hidden = tiles.length > 0
    const close = element("button", { type: "button", class: "perfusion-close", "aria-label": text("close"), onclick: () => dialog.close() }, "×")
    dialog.append(element("header", {}, element("h2", {}, text("choose")), search, close), all, none)
    dialog.addEventListener("click", event => event.target === dialog && dialog.close())
    // The frontend's own keys, such as R, must not act on the graph behind.
    dialog.addEventListener("keydown", event => event.stopPropagation())
    dialog.addEventListener("close", () => {
      dialog.remove()
      resolve(dialog.perfusionPicked)
    })
    document.body.append(dialog)
    dialog.showModal()
    all.querySelector(".perfusion-current")?.scrollIntoView({ block: "center" })
    search.focus()
  })
}

function grid(tiles) {
  return element("div", { class: "perfusion-grid" }, ...tiles.map(({ button }) => button))
}

/** What Train keeps, behind one line: most of it is saved too, and would stand there twice. A search looks inside. */
function folded(tiles, isOpen) {
  const line = element("summary", {}, text("keptByTrain", { count: tiles.length }))
  const details = element("details", { class: "perfusion-kept" }, line, grid(tiles))
  const searched = wanted => {
    details.hidden = tiles.every(({ button }) => button.hidden)
    details.open = isOpen || wanted !== ""
  }
  details.hidden = tiles.length === 0
  details.open = isOpen
  return { details, searched }
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
    said = [name, found?.word, found?.superclass, found?.base, title(found?.base)].join(" ").toLowerCase()
  })
  return { name, button, said: () => said }
}
