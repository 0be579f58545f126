/** The gate as a curve. Pure: numbers in, numbers out. */

/** The similarities that the curve shows. 0: a word that has nothing in common with the concept; 1: its own word. */
const SIMILARITIES = { from: -0.25, to: 1.25 }

/** The ranges of the bias that the paper gives, by key locking. */
const PAPER_BIAS = { local: [0.6, 0.75], global: [0.4, 0.6] }

/**
 * Equation 3 of Tewel et al. 2023: sigmoid((s - bias) / temperature); leak-free and by position as in
 * perfusion_ops/edit/equations.py: by position, the concept's own tokens have the gate of similarity 1, others none.
 */
export function gateStrength(similarity, { bias, temperature, leakFree = false, byPosition = false }) {
  const open = s => 1 / (1 + Math.exp(-(s - bias) / temperature))
  if (byPosition) return similarity < 1 ? 0 : gateStrength(1, { bias, temperature, leakFree })
  if (!leakFree) return open(similarity)
  return Math.max(0, (open(similarity) - open(0)) / (1 - open(0)))
}

/** Points [x, y] of the curve in a box of `width` and `height`, y downwards. */
export function gateCurve(gate, { width, height }, count = 90) {
  const { from, to } = SIMILARITIES
  return Array.from({ length: count + 1 }, (_, index) => {
    const similarity = from + ((to - from) * index) / count
    return [across(similarity, width), (1 - gateStrength(similarity, gate)) * height]
  })
}

/** Where a similarity stands on a line of `width`. */
export function across(similarity, width) {
  return ((similarity - SIMILARITIES.from) / (SIMILARITIES.to - SIMILARITIES.from)) * width
}

export function paperBias(keyLocking) {
  return String(keyLocking).startsWith("global") ? PAPER_BIAS.global : PAPER_BIAS.local
}
