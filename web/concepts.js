/** What the server knows of concept files, by the host's own routes: where they are, their thumbnails and texts. */

import { api } from "../../scripts/api.js"

let listing
const read = new Map()

/** Ask the server anew: files may have come or changed. */
export function forget() {
  listing = undefined
  read.clear()
}

/**
 * Of the concept file `name`: word, superclass, base, steps, date, bytes and the address of its thumbnail, each where
 * it is known; undefined when there is no such file.
 */
export async function details(name) {
  if (!read.has(name)) read.set(name, describe(name))
  return read.get(name)
}

async function describe(name) {
  const [files, metadata] = await Promise.all([(listing ??= list()), metadataOf(name)])
  const file = files.get(name)
  if (!file && !metadata) return undefined
  const training = Object.fromEntries((metadata?.["perfusion.training"] ?? "").split(" ").map(pair => pair.split("=")))
  return {
    word: metadata?.["modelspec.trigger_phrase"],
    superclass: metadata?.["perfusion.superclass"],
    base: metadata?.["perfusion.base"],
    steps: training.done,
    byPosition: metadata?.["perfusion.gate"] === "position",
    date: file ? new Date(1000 * file.modified) : undefined,
    bytes: file?.size,
    thumbnail: file ? thumbnailOf(file) : undefined,
  }
}

/** Name -> where its file is. Of files of one name in several folders, the first one counts, as on the server. */
async function list() {
  const files = (await answer("/experiment/models/perfusion")) ?? []
  return new Map(files.sort((a, b) => b.pathIndex - a.pathIndex).map(file => [file.name, file]))
}

async function metadataOf(name) {
  return answer(`/view_metadata/perfusion?filename=${encodeURIComponent(name)}`)
}

async function answer(route) {
  try {
    const response = await api.fetchApi(route)
    return response.ok ? await response.json() : undefined
  } catch {
    return undefined
  }
}

function thumbnailOf({ name, pathIndex, modified }) {
  const path = name.split(/[\\/]/).map(encodeURIComponent).join("/")
  return api.apiURL(`/experiment/models/preview/perfusion/${pathIndex}/${path}?modified=${modified}`)
}
