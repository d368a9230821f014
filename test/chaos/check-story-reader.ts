// Reads one client's runs in the order in which they came, over all its connections, and finds what may not be: a place
// twice or before the last one, a hole without a gap, a gap without a cause, something after the end, lines that are
// missing, twice or out of order. Pure.

import { attemptOf, nOf, seqOf } from '../../shared/position.ts'
import type { Broken, Violation } from './check-input.ts'
import type { StoryRun } from './story-runs.ts'

type Updates = Extract<StoryRun, { kind: 'updates' }>
type End = Extract<StoryRun, { kind: 'end' }>

export interface StoryReader {
  readonly job: string
  readonly violations: Violation[]
  readonly updates: readonly { readonly run: Updates; readonly t: number }[]
  readonly end: End | null
  readonly lastAttempt: number
  read(run: StoryRun, t: number): void
  /** Places of an attempt that were read or called a gap, in order. */
  coverage(attempt: number): readonly (readonly [from: number, to: number])[]
  lineAt(attempt: number, n: number): number | null
  /** The last line that was read. */
  linesOf(attempt: number, stream: 'out' | 'err'): number
  /** A gap took some of this attempt. */
  forgot(attempt: number): boolean
}

/** Behind a gap this wide an agent began anew, at the last place that it had told: lines may come again (PROTOCOL 5). */
const RESTART_GAP = 2 ** 19

export function createStoryReader(
  client: string,
  job: string,
  isExplained: (attempt: number, t: number) => boolean,
): StoryReader {
  const violations: Violation[] = []
  const updates: { readonly run: Updates; readonly t: number }[] = []
  const covered = new Map<number, (readonly [number, number])[]>()
  const lines = new Map<string, { last: number; loose: boolean }>()
  const forgetful = new Set<number>()
  const restarted = new Set<number>()
  let position = 0
  let end: End | null = null
  const report = (broken: Broken, t: number, what: string): void =>
    void violations.push({ broken, t, job, what: `${client}: ${what}` })

  /** The place follows what came before, or not: then it says how. */
  const follows = (from: number, t: number, what: string): void => {
    const attempt = attemptOf(from)
    if (end) report('doubled', t, `${what} after the terminal update`)
    if (from <= position) {
      const stale = attempt < attemptOf(position)
      report(stale ? 'stale_accepted' : 'doubled', t, `${what} comes after seq ${position}`)
    } else if (from !== position + 1 && !(attempt > attemptOf(position) && nOf(from) === 1))
      report('gaps', t, `${what} follows seq ${position}, and no gap says what is missing`)
  }
  const cover = (attempt: number, from: number, to: number): void => {
    const ranges = covered.get(attempt) ?? []
    ranges.push([from, to])
    covered.set(attempt, ranges)
  }
  const readLines = ({ attempt, from, to, stream, line }: Updates, t: number): void => {
    if (stream === undefined || line === undefined) return
    const key = `${attempt}/${stream}`
    const known = lines.get(key) ?? { last: 0, loose: forgetful.has(attempt) }
    const isNext = line === known.last + 1 || (known.loose && (line > known.last || restarted.has(attempt)))
    if (!isNext)
      report(
        line <= known.last ? 'doubled' : 'gaps',
        t,
        `line ${line} of std${stream} after line ${known.last}, at seq ${seqOf(attempt, from)}`,
      )
    lines.set(key, { last: line + (to - from), loose: false })
  }
  const readGap = (from: number, to: number, t: number): void => {
    const attempt = attemptOf(from)
    follows(from, t, `a gap from seq ${from} to ${to}`)
    if (to < from || attemptOf(to) !== attempt) report('wrong', t, `a gap from seq ${from} to ${to}`)
    if (!isExplained(attempt, t))
      report('gaps', t, `a gap from seq ${from} to ${to} (attempt ${attempt}), and no store was made to forget`)
    forgetful.add(attempt)
    if (to - from >= RESTART_GAP) restarted.add(attempt)
    for (const stream of ['out', 'err']) {
      const known = lines.get(`${attempt}/${stream}`)
      // Lines may be missing behind a gap; only behind a wide one may they come again.
      if (known) lines.set(`${attempt}/${stream}`, { ...known, loose: true })
    }
    cover(attempt, nOf(from), nOf(to))
    position = to
  }
  return {
    job,
    violations,
    updates,
    get end() {
      return end
    },
    get lastAttempt() {
      return attemptOf(position)
    },
    read(run, t) {
      if (run.kind === 'bad') {
        report('wrong', t, `seq ${seqOf(run.attempt, run.n)} is not what its job printed: ${run.why}`)
        position = seqOf(run.attempt, run.n)
        cover(run.attempt, run.n, run.n)
      } else if (run.kind === 'gap') readGap(run.from, run.to, t)
      else if (run.kind === 'end') {
        if (end) report('doubled', t, 'a second terminal update')
        end = run
      } else {
        follows(
          seqOf(run.attempt, run.from),
          t,
          `seq ${seqOf(run.attempt, run.from)} (attempt ${run.attempt}, n ${run.from})`,
        )
        readLines(run, t)
        updates.push({ run, t })
        cover(run.attempt, run.from, run.to)
        position = seqOf(run.attempt, run.to)
      }
    },
    coverage: (attempt) => covered.get(attempt) ?? [],
    lineAt(attempt, n) {
      const holder = updates.find(({ run }) => run.attempt === attempt && run.from <= n && n <= run.to)?.run
      return holder?.line === undefined ? null : holder.line + (n - holder.from)
    },
    linesOf: (attempt, stream) => lines.get(`${attempt}/${stream}`)?.last ?? 0,
    forgot: (attempt) => forgetful.has(attempt),
  }
}
