// What a conflict means (PROTOCOL 5). The server refused a message because the subject's last sequence is not the one
// that we named. The last stored message, read through the control plane, says why:
//
//   subject_seq as we know it   nothing of the unit is stored (the conflict is over, or came of a part): send it again
//   higher, my session          my own message was stored and its answer lost; with the unit's n: go on
//   higher, another session     nothing of mine stored yet: the process before me had one in flight: begin behind it
//                               something of mine is stored: a newer process writes: stop
//   lower                       the store lost what it had acknowledged: send again what is remembered, then go on
//
// A higher sequence alone proves nothing: another process of the same agent gets the same answer.
import type { Resume } from '../shared/agent-protocol.ts'

export interface Known {
  readonly session: string
  /** Sequence of the last message on the subject, as far as we know; 0 for none. */
  readonly subjectSeq: number
  /** Something of this session is stored. */
  readonly stored: boolean
  /** The n at the end of the unit in question. */
  readonly unitEnd: number
}

export type Verdict = 'stored' | 'again' | 'lost' | 'rewind' | 'superseded'

export function judgeConflict(resume: Resume, known: Known): Verdict {
  if (resume.subject_seq === known.subjectSeq) return 'again'
  if (resume.subject_seq < known.subjectSeq) return 'lost'
  if (resume.session === known.session) {
    if (resume.n === known.unitEnd) return 'stored'
    // Some parts of a split update are stored: part 1 begins it anew.
    return resume.n < known.unitEnd ? 'again' : 'superseded'
  }
  return known.stored ? 'superseded' : 'rewind'
}
