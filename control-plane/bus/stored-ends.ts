// Where the stored updates of one subject begin and end: one direct get each, by whatever connection there is; and which
// attempts of a job have any, which costs the server a look at its table of subjects and at no message.
import type { JetStreamManager } from '@nats-io/jetstream'
import type { Resume } from '../../shared/agent-protocol.ts'
import { attemptIn, jobUpdatesSubject, UPDATES_STREAM } from '../../shared/subjects.ts'
import type { StoredAttempts } from '../core/bus-port.ts'
import type { JobKey } from '../core/ports.ts'
import { firstSeqOf, parseBatch, resumeOf } from './stored-batch.ts'

export async function readResume(jsm: JetStreamManager, subject: string): Promise<Resume> {
  const message = await lastMessage(jsm, subject)
  return resumeOf(message && parseBatch(message.data), message?.seq ?? 0)
}

export async function lastSeq(jsm: JetStreamManager, subject: string): Promise<number> {
  return (await lastMessage(jsm, subject))?.seq ?? 0
}

export async function firstSeq(jsm: JetStreamManager, subject: string): Promise<number | null> {
  const message = await jsm.direct.getMessage(UPDATES_STREAM, { seq: 1, next_by_subj: subject })
  return message && firstSeqOf(parseBatch(message.data), message.seq)
}

export async function storedAttempts(jsm: JetStreamManager, { tenant, job }: JobKey): Promise<StoredAttempts> {
  const { state } = await jsm.streams.info(UPDATES_STREAM, { subjects_filter: jobUpdatesSubject(tenant, job) })
  const attempts = Object.keys(state.subjects ?? {}).flatMap((subject) => attemptIn(subject) ?? [])
  return { attempts, streamFirstSeq: state.first_seq, streamLastSeq: state.last_seq }
}

function lastMessage(jsm: JetStreamManager, subject: string): ReturnType<JetStreamManager['direct']['getMessage']> {
  return jsm.direct.getMessage(UPDATES_STREAM, { last_by_subj: subject })
}
