/** A training's loss as a line, and its time left in words. Pure. */

/** Points [x, y] of `losses`, pairs of step and loss, in a box of `width` and `height`, y downwards; x ends at `steps`. */
export function lossCurve(losses, steps, { width, height }) {
  const values = losses.map(([, loss]) => loss)
  const low = Math.min(...values)
  const span = Math.max(...values) - low || 1
  const across = step => (steps > 1 ? ((step - 1) / (steps - 1)) * width : 0)
  return losses.map(([step, loss]) => [across(step), height - ((loss - low) / span) * height])
}

/** A text's key and its numbers for the time that is left: seconds below a minute, then minutes, then hours. */
export function timeLeft(seconds) {
  if (seconds < 60) return ["secondsLeft", { seconds: Math.max(1, Math.round(seconds)) }]
  const minutes = Math.round(seconds / 60)
  if (minutes < 100) return ["minutesLeft", { minutes }]
  return ["hoursLeft", { hours: Math.floor(minutes / 60), minutes: String(minutes % 60).padStart(2, "0") }]
}
