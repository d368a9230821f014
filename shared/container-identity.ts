// Portable: Web APIs only.
//
// How a container says whose it is. Its name comes from the attempt alone, so that creating it twice is refused by the
// engine and not done twice; its labels let a new agent process find it again.
import { isName } from './ids.ts'
import type { AttemptKey } from './subjects.ts'

export const LABEL = {
  agent: 'dray.agent',
  boot: 'dray.boot',
  tenant: 'dray.tenant',
  job: 'dray.job',
  attempt: 'dray.attempt',
  image: 'dray.image',
  secrets: 'dray.secrets',
  lostAfter: 'dray.lost-after',
  updates: 'dray.updates',
} as const

const MAX_NAME = 120
const KEPT = 100

/** `dray-<tenant>-<job>-<attempt>`; a longer one is cut and ends in a hash of the whole. */
export function containerName({ tenant, job, attempt }: AttemptKey): string {
  // Names may hold "-" themselves: lengths keep "a-b" + "c" and "a" + "b-c" apart only where that can matter.
  const ambiguous = tenant.includes('-') || job.includes('-')
  const plain = `dray-${tenant}-${job}-${attempt}`
  if (plain.length <= MAX_NAME && !ambiguous) return plain
  return `${plain.slice(0, KEPT)}-${fnv1a(JSON.stringify([tenant, job, attempt]))}`
}

/** The attempt that a container belongs to, or undefined where its labels are not ours. */
export function attemptOfLabels(labels: Readonly<Record<string, string>>): AttemptKey | undefined {
  const { [LABEL.tenant]: tenant = '', [LABEL.job]: job = '', [LABEL.attempt]: attempt = '' } = labels
  if (!isName(tenant) || !isName(job) || !/^[1-9]\d{0,9}$/.test(attempt)) return undefined
  return { tenant, job, attempt: Number(attempt) }
}

/** 64 bits of FNV-1a as hex: a name's tail, not a defence. */
function fnv1a(text: string): string {
  let hash = 0xcbf29ce484222325n
  for (const byte of new TextEncoder().encode(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n)
  return hash.toString(16).padStart(16, '0')
}
