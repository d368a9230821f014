// Portable: Web APIs only.
//
// The name of one life of an agent process. The newest process of an agent wins, and which one is newest is in the name:
// the time of its start, which its state folder never lets go back, and then chance. So the word of a process that has
// died, which a paused control plane reads minutes later, never passes for a newer one.
//
// Names of another form (an agent of an earlier version) tell no order: of those, whichever is seen last is the newest.

/** `life_`, twelve hex digits of milliseconds since 1970, sixteen of chance. */
const PATTERN = /^life_[0-9a-f]{28}$/
/** What of a name tells the order: names of one length, so text compares as numbers do. */
export const START_LENGTH = 'life_'.length + 12

/** Later than `previous`, the last one of this agent, whatever its clock says. */
export function newSession(previous: string | null, nowMs: number): string {
  const start = previous === null ? null : startOf(previous)
  const beganMs = Math.max(nowMs, start === null ? 0 : Number.parseInt(start.slice('life_'.length), 16) + 1)
  const chance = crypto.getRandomValues(new Uint8Array(8))
  return `life_${hex(beganMs, 12)}${[...chance].map((byte) => hex(byte, 2)).join('')}`
}

/** Null where the name tells no order. */
export function startOf(session: string): string | null {
  return PATTERN.test(session) ? session.slice(0, START_LENGTH) : null
}

/** Whether both names tell their order, and `session` began before `other`. */
export function beganBefore(session: string, other: string): boolean {
  const [start, limit] = [startOf(session), startOf(other)]
  return start !== null && limit !== null && start < limit
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0')
}
