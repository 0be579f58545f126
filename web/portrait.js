/** A concept as people know it: its picture and a few words. Used by the card and by the picker. */

import { element } from "./dom.js"
import { text } from "./texts.js"

const BASES = {
  sd1: "SD 1.x",
  sd2: "SD 2.x",
  sdxl: "SDXL",
  sd3: "SD 3.x",
  ovis: "Ovis-Image",
  longcat: "LongCat-Image",
  newbie: "NewBie",
  chroma_radiance: "Chroma Radiance",
  zimage_pixel: "Z-Image in pixel space",
  hidream: "HiDream-I1 and E1",
  flux1: "Flux.1",
  flux2: "Flux.2",
  chroma: "Chroma",
  zimage: "Z-Image",
  lumina2: "Lumina 2",
  qwen_image: "Qwen-Image",
  anima: "Anima",
  cosmos2: "Cosmos-Predict2",
  wan21: "Wan 2.1 and 2.2",
  wan22: "Wan 2.2 5B",
  pixart_sigma: "PixArt Sigma",
  pixart_alpha: "PixArt Alpha",
  hunyuan_dit: "HunyuanDiT 1.2",
  hunyuan_dit1: "HunyuanDiT 1.0 and 1.1",
}

/** A model family as people call it; what the file says, where it is of a later version. */
export const title = base => BASES[base] ?? base

/** The thumbnail; where there is none, the word's first letter. */
export function face(found) {
  const letter = element("span", { class: "perfusion-letter" }, [...(found?.word ?? "?")][0].toUpperCase())
  const frame = element("div", { class: "perfusion-face" }, letter)
  if (found?.thumbnail) {
    const picture = element("img", { src: found.thumbnail, alt: "", loading: "lazy", draggable: "false" })
    picture.addEventListener("error", () => picture.remove())
    picture.addEventListener("load", () => letter.remove())
    frame.append(picture)
  }
  return frame
}

/** The word, then what it is, then how it was made. `otherwise` stands where nothing is known of the file. */
export function facts(name, found, otherwise) {
  if (!found) return element("div", { class: "perfusion-facts" }, line("perfusion-dim", otherwise))
  const made = [found.steps && text("steps", { steps: found.steps }), found.date?.toLocaleDateString()]
  return element(
    "div",
    { class: "perfusion-facts" },
    line("perfusion-word", found.word ?? name),
    line("", [found.superclass, title(found.base)].filter(Boolean).join(" · ")),
    line("perfusion-dim", made.filter(Boolean).join(" · ")),
  )
}

function line(kind, said) {
  return element("div", { class: kind, title: said }, said)
}
