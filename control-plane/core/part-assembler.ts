// Portable: Web APIs only.
//
// Puts an update together that came in parts (PROTOCOL 5). k = 1 begins anew, wherever it comes; a part that does not
// follow its predecessor is dropped with what was collected. Bounded: an update that grows larger is dropped as a whole,
// which its readers see as a gap.
import type { UpdateBatch } from '../../shared/agent-protocol.ts'

type UpdateBody = Readonly<Record<string, unknown>>

export interface PartAssembler {
  /** The updates that this message completes, the first of them with the message's n; null: none yet. */
  add(batch: UpdateBatch): readonly UpdateBody[] | null
}

const MAX_LETTERS = 64 << 20

export function createPartAssembler(): PartAssembler {
  let begun: { n: number; m: number; session: string; texts: string[]; letters: number } | null = null
  return {
    add({ n, session, part, updates }) {
      if (!part) {
        begun = null
        return updates
      }
      if (part.k === 1) begun = { n, m: part.m, session, texts: [], letters: 0 }
      const fits =
        begun?.n === n && begun.m === part.m && begun.session === session && begun.texts.length === part.k - 1
      if (!begun || !fits) {
        begun = null
        return null
      }
      begun.texts.push(part.text)
      begun.letters += part.text.length
      if (begun.letters > MAX_LETTERS) begun = null
      if (!begun || part.k < part.m) return null
      const whole = parseUpdate(begun.texts.join(''))
      begun = null
      return whole && [whole]
    },
  }
}

function parseUpdate(text: string): UpdateBody | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as UpdateBody) : null
  } catch {
    // An agent's junk: the update is missing, and its readers are told by the next one's n.
    return null
  }
}
