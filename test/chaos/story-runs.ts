// A job's frames, shortened without losing what a checker looks at: neighbours that count on in place and in line become
// one run. A frame that is not what its job can have printed stays alone and says why. Pure.

import { attemptOf, nOf } from '../../shared/position.ts'
import { isGap, isStateFrame, isTerminalUpdate, type Frame, type TerminalUpdate } from '../../shared/update.ts'
import { lineOf, type JobPlan } from './job-mix.ts'

export type StoryRun =
  /** The attempt's updates from..to. With `line`, each is a printed line, the first one of that number. */
  | {
      readonly kind: 'updates'
      readonly attempt: number
      readonly from: number
      to: number
      readonly stream?: 'out' | 'err'
      readonly line?: number
    }
  | { readonly kind: 'gap'; readonly from: number; readonly to: number }
  | {
      readonly kind: 'end'
      readonly attempt: number
      readonly status: string
      readonly error?: string | undefined
      readonly exitCode?: number | null | undefined
    }
  | { readonly kind: 'bad'; readonly attempt: number; readonly n: number; readonly why: string }

const LINE = /^(out|err) (\d+) \d+ j\d+ /

export function storyRuns(frames: readonly Frame[], plan: JobPlan): StoryRun[] {
  const runs: StoryRun[] = []
  for (const frame of frames) {
    const run = runOf(frame, plan)
    if (!run) continue
    const last = runs.at(-1)
    if (last?.kind === 'updates' && run.kind === 'updates' && goesOn(last, run)) last.to = run.to
    else runs.push(run)
  }
  return runs
}

function goesOn(last: Extract<StoryRun, { kind: 'updates' }>, next: Extract<StoryRun, { kind: 'updates' }>): boolean {
  if (next.attempt !== last.attempt || next.from !== last.to + 1 || next.stream !== last.stream) return false
  return last.line === undefined || next.line === last.line + (next.from - last.from)
}

function runOf(frame: Frame, plan: JobPlan): StoryRun | null {
  if (isGap(frame)) return { kind: 'gap', from: frame.from, to: frame.to }
  if (isStateFrame(frame)) return null
  if (isTerminalUpdate(frame)) return endOf(frame)
  const attempt = attemptOf(frame.seq)
  const n = nOf(frame.seq)
  if (frame.attempt !== attempt) return { kind: 'bad', attempt, n, why: `its attempt says ${frame.attempt}` }
  if (frame.type !== 'log_update') return { kind: 'updates', attempt, from: n, to: n }
  return lineRun(String(frame['content']), plan, attempt, n)
}

function endOf({ attempt, status, error, exit }: TerminalUpdate): StoryRun {
  return { kind: 'end', attempt, status, error: error?.code, exitCode: exit.code }
}

function lineRun(content: string, plan: JobPlan, attempt: number, n: number): StoryRun {
  const [, stream, number] = LINE.exec(content) ?? []
  // What the shell and the engine say of a kill is no line of ours.
  if (stream !== 'out' && stream !== 'err') return { kind: 'updates', attempt, from: n, to: n }
  if (content !== lineOf(plan, stream, Number(number)))
    return { kind: 'bad', attempt, n, why: `no line of ${plan.tag}: ${content.slice(0, 100)}` }
  return { kind: 'updates', attempt, from: n, to: n, stream, line: Number(number) }
}
