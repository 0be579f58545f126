/** Concept words in prompts, as a reader sees them. Pure. The server decides (perfusion_ops/text/words.py); this tells. */

const IN_WORD = "[\\p{L}\\p{N}\\p{M}_]"
const NOT_WORDS = /<[^>]*>|__[^_\s][^\s]*?__|embedding:\S+/gu
const LIKE_CONCEPTS = new RegExp(`(?<!${IN_WORD})\\p{L}[\\p{L}\\p{N}\\p{M}]*(?:_[\\p{L}\\p{N}\\p{M}]+)+(?!${IN_WORD})`, "gu")
const WITHOUT_SPACES = /[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Hang}\p{sc=Thai}\p{sc=Laoo}\p{sc=Khmr}\p{sc=Mymr}]/u

/** Whether `prompt` names `word`: in any case, and not inside a longer word. */
export function names(prompt, word) {
  const pattern = folded(word).split(/\s+/).filter(Boolean).map(escaped).join("\\s+")
  if (!pattern) return false
  const edge = WITHOUT_SPACES.test(word) ? ["", ""] : [`(?<!${IN_WORD})`, `(?!${IN_WORD})`]
  return new RegExp(edge[0] + pattern + edge[1], "u").test(folded(prompt))
}

/** Words of `prompt` that look like concept words, with an underscore, and are none of `known`. */
export function strangers(prompt, known) {
  const found = prompt.replace(NOT_WORDS, " ").match(LIKE_CONCEPTS) ?? []
  const familiar = new Set(known.map(folded))
  return [...new Set(found.filter(word => !familiar.has(folded(word))))]
}

function folded(text) {
  return text.normalize("NFKC").toLowerCase()
}

function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
}
