// What clients read: behind each cursor each update once, in order, to the terminal update; all clients the same; holes said
// as gaps, and gaps only where a store or a machine was destroyed; of each container's lines none missing and none twice;
// nothing of an attempt after the next one had begun to speak.
import { attemptOf, nOf, seqOf } from '../../shared/position.ts'
import { shown } from './check-wire.ts'
import type { ContainerStory, History, ReadFrame, Reading, StoredUpdate } from './history.ts'
import { isBurnt } from './faults.ts'
import { HASTY_S } from './plan.ts'
import type { World } from './world.ts'

export function checkReadings(world: World): void {
  const { history, agents, plan } = world
  const forgot = history.streamLossesMs.length > 0
  // Not only the stream forgets: a machine that burns, or is silent for longer than its jobs wait, has not published all.
  const mayMiss = forgot || agents.some(isBurnt) || plan.jobs.some(({ spec }) => spec.lost_after_seconds < HASTY_S)
  const byJob = Map.groupBy(history.readings, ({ job }) => job)
  for (const [job, readings] of byJob) {
    for (const reading of readings) {
      checkOrder(history, reading)
      checkGaps(world, reading, mayMiss)
      if (reading.error !== null) history.violated('lost', `${job}: ${reading.client} failed: ${reading.error}`)
      if (!mayMiss) checkLines(history, reading)
    }
    checkAgreement(history, job, readings)
    checkFence(world, job, readings)
  }
}

function checkOrder(history: History, { client, job, after, frames }: Reading): void {
  let seq = after
  for (const frame of frames) {
    const where = `${job}: ${client} from ${shown(after)}, behind ${shown(seq)}`
    if (frame.seq <= seq) history.violated('doubled', `${where}: ${shown(frame.seq)} again`)
    const expected = attemptOf(frame.from) === attemptOf(seq) ? seq + 1 : seqOf(attemptOf(frame.from), 1)
    if (frame.kind !== 'terminal' && frame.from > expected)
      history.violated('lost', `${where}: ${shown(frame.from)}, without a gap`)
    if (frame.kind !== 'terminal' && frame.from < expected)
      history.violated('doubled', `${where}: ${shown(frame.from)} once more`)
    seq = Math.max(seq, frame.seq)
  }
}

function checkGaps(world: World, { client, job, frames }: Reading, mayMiss: boolean): void {
  const { history, plan } = world
  // While nobody can hear any agent, all of them are silent.
  const deaf = plan.faults.filter(({ kind }) => kind.startsWith('store-') || kind === 'planes-away')
  const deafMs = deaf.reduce((sum, { forMs }) => sum + forMs, 0)
  const lostAfterMs = 1000 * (plan.jobs.find(({ id }) => id === job)?.spec.lost_after_seconds ?? 0)
  const waitMs = Math.max(0, lostAfterMs - deafMs)
  for (const { kind, from, seq } of frames)
    if (kind === 'gap' && !mayMiss && !wasCutOff(history, job, attemptOf(from), waitMs))
      history.violated(
        'gaps',
        `${job}: ${client} is told of a gap ${shown(from)} to ${shown(seq)}: nothing was destroyed`,
      )
}

/**
 * A retry does not wait for an agent whose lease has run out, nor for ever. And an agent that dies takes along what it had
 * to say about a container that never ran: no log holds that.
 */
function wasCutOff(
  { jobs, troubles, containers }: History,
  job: string,
  attempt: number,
  longestWaitMs: number,
): boolean {
  const steps = jobs.get(job)?.steps ?? []
  const ended = steps.find(({ cause }) => cause.type === 'finished' && cause.attempt === attempt)
  if (ended?.cause.type !== 'finished') return false
  const { agent } = ended.cause
  const next = steps.find(({ ms, event }) => event === 'assigned' && ms > ended.ms)
  const ran = containers.some((one) => one.job === job && one.attempt === attempt && one.startedMs !== null)
  const since = troubles.filter((one) => one.agent === agent && (one.toMs ?? Number.POSITIVE_INFINITY) > ended.ms)
  if (!ran && since.some(({ what, fromMs }) => DEATH.test(what) && fromMs < (next?.ms ?? Number.POSITIVE_INFINITY)))
    return true
  if (next) return next.silent.includes(agent) || next.ms - ended.ms >= longestWaitMs || hadTwin(troubles, agent)
  const silentMs = since.reduce((sum, { fromMs, toMs }) => sum + (toMs ?? Number.POSITIVE_INFINITY) - fromMs, 0)
  return silentMs >= longestWaitMs || hadTwin(troubles, agent)
}

/** Of an agent's process. */
const DEATH = /^(agent-crash|agent-restart|machine-reboot)$/

/** Of two copies of an agent the newer one takes what the older one still runs for its own. */
function hadTwin(troubles: History['troubles'], agent: string): boolean {
  return troubles.some((one) => one.agent === agent && one.what === 'agent-twin')
}

/** Two clients never see two things at one place, nor two ends. */
function checkAgreement(history: History, job: string, readings: readonly Reading[]): void {
  const texts = new Map<number, string>()
  for (const { frames, client } of readings) {
    for (const { kind, seq, text } of frames) {
      if (kind === 'gap') continue
      const known = texts.get(seq)
      texts.set(seq, text)
      if (known !== undefined && known !== text && !wasUsedAgain(history, job, seq, [known, text]))
        history.violated('doubled', `${job}: at ${shown(seq)} ${client} reads ${text}, another one ${known}`)
    }
  }
  const status = history.jobs.get(job)?.state?.status
  const ends = readings.flatMap(({ frames }) => frames.filter(({ kind }) => kind === 'terminal'))
  for (const { text, seq } of ends)
    if (!text.includes(`"status":"${status}"`) || texts.size === 0)
      history.violated('doubled', `${job}: readers are told ${text} at ${shown(seq)}, the row says ${status}`)
}

/**
 * The one exception (PROTOCOL 5): the stream lost what a process had stored, the process died before one of its beats told
 * how far it had come, and so the next process used the number again. Of two copies of an agent the newer one's beats may
 * leave out what the older one runs, and what that had told goes with it.
 */
function wasUsedAgain(history: History, job: string, seq: number, texts: readonly string[]): boolean {
  const [attempt, n] = [attemptOf(seq), nOf(seq)]
  const stored = history
    .storedOf(job)
    .filter((one) => one.attempt === attempt && one.n === n && texts.includes(one.text))
  const isAgain = (one: StoredUpdate, other: StoredUpdate): boolean =>
    other.text !== one.text &&
    other.session !== one.session &&
    history.streamLossesMs.some((ms) => ms >= one.ms && ms <= other.ms) &&
    (n > toldBefore(history, job, other) ||
      history.told.some((told) => told.job === job && hadTwin(history.troubles, told.agent)))
  return stored.some((one) => stored.some((other) => isAgain(one, other)))
}

/** How far the control plane knew the attempt to have come when the process of that update took it over. */
function toldBefore({ told }: History, job: string, { attempt, session }: StoredUpdate): number {
  const mine = told.filter((one) => one.job === job && one.attempt === attempt)
  const taken = mine.findIndex((one) => one.session === session)
  return Math.max(0, ...mine.slice(0, taken < 0 ? mine.length : taken).map(({ n }) => n))
}

const LINE = /^a(\d+) (stdout|stderr) (\d+)$/

/** Lines are numbered over both streams; each stream shows its own in order, and of an attempt that ended all of them. */
function checkLines(history: History, { client, job, after, frames, isWhole }: Reading): void {
  const seen = new Map<string, number[]>()
  for (const { kind, text, seq } of frames) {
    const [, attempt, stream, number] = LINE.exec(kind === 'update' ? text : '') ?? []
    if (attempt === undefined) continue
    if (Number(attempt) !== attemptOf(seq))
      history.violated('stale_accepted', `${job}: ${text} stands at ${shown(seq)}`)
    const name = `${attempt} ${stream}`
    seen.set(name, [...(seen.get(name) ?? []), Number(number)])
  }
  for (const [name, numbers] of seen) {
    const isStderr = name.endsWith('stderr')
    const fault = numbers.findIndex((number, at) => at > 0 && number !== nextLine(numbers[at - 1] ?? 0, isStderr))
    if (fault > 0)
      history.violated('lost', `${job}: ${client} reads line ${numbers[fault]} of ${name} behind ${numbers[fault - 1]}`)
  }
  if (isWhole && after === 0 && frames.every(({ kind }) => kind !== 'gap')) checkWhole(history, job, client, seen)
}

function nextLine(number: number, isStderr: boolean): number {
  if (isStderr) return number + 5
  return (number + 1) % 5 === 0 ? number + 2 : number + 1
}

/** Whoever read from the beginning has every line of the attempt that ended the job. */
function checkWhole(history: History, job: string, client: string, seen: ReadonlyMap<string, number[]>): void {
  const end = history.jobs.get(job)?.steps.at(-1)
  if (end?.cause.type !== 'finished') return
  const { attempt } = end.cause
  const printed = printedBy(history.containers, job, attempt)
  const read = (seen.get(`${attempt} stdout`)?.length ?? 0) + (seen.get(`${attempt} stderr`)?.length ?? 0)
  if (read !== printed)
    history.violated('lost', `${job}: ${client} reads ${read} of the ${printed} lines of attempt ${attempt}`)
}

function printedBy(containers: readonly ContainerStory[], job: string, attempt: number): number {
  const ran = containers.filter((one) => one.job === job && one.attempt === attempt && one.startedMs !== null)
  return ran.reduce((sum, { printed }) => sum + printed, 0)
}

/** What was read of an attempt stood in the stream before any message of a later one. */
function checkFence({ history }: World, job: string, readings: readonly Reading[]): void {
  const stored = history.storedOf(job)
  if (new Set(stored.map(({ attempt }) => attempt)).size < 2) return
  const bySeq = Map.groupBy(stored, ({ attempt, n }) => seqOf(attempt, n))
  const seen = new Map<number, ReadFrame>()
  for (const { frames } of readings) for (const frame of frames) if (frame.kind === 'update') seen.set(frame.seq, frame)
  for (const { seq, text } of seen.values()) {
    const later = stored.filter(({ attempt }) => attempt > attemptOf(seq))
    const isCutOff = (one: StoredUpdate): boolean =>
      later.some(({ place, lostMs }) => place < one.place && (lostMs === null || lostMs > one.ms))
    const instances = (bySeq.get(seq) ?? []).filter((one) => one.text === text)
    if (later.length > 0 && instances.every(isCutOff))
      history.violated('stale_accepted', `${job}: ${shown(seq)} is read, stored after the next attempt began`)
  }
}
