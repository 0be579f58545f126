/** Messages at the edge of the page, by whichever way the frontend has. */

import { app } from "../../scripts/app.js"

const NAMES = { success: "success", warn: "warning", info: "info" }

/** Show `title` above `detail` for some seconds; `kind` is `success`, `info` or `warn`. */
export function message(kind, title, detail, seconds) {
  const toast = app.extensionManager?.toast
  const own = toast?.[NAMES[kind]]
  if (own) own.call(toast, title, { description: detail, duration: 1000 * seconds })
  else toast?.add({ severity: kind, summary: title, detail, life: 1000 * seconds })
}
