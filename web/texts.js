/** The words that the browser shows, from the pack's locales, as the server gives them to the frontend. */

import { app } from "../../scripts/app.js"
import { api } from "../../scripts/api.js"

let texts = {}

/** Read the texts of the user's language; what it lacks is English. Without an answer, keys are shown. */
export async function readTexts() {
  const language = app.extensionManager?.setting?.get("Comfy.Locale") ?? "en"
  try {
    const answer = await (await api.fetchApi("/i18n")).json()
    texts = { ...answer.en?.perfusion, ...answer[language]?.perfusion }
  } catch (error) {
    console.warn("Perfusion: no texts from the server.", error)
  }
}

/** The text of `key`, with `values` in the place of their names: `text("minutesLeft", { minutes: 3 })`. */
export function text(key, values = {}) {
  return (texts[key] ?? key).replace(/\{(\w+)\}/g, (place, name) => values[name] ?? place)
}
