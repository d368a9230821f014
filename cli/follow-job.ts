// Follows one job for `run`, `attach`, `submit --wait` and `logs -f`: its output to our outputs, its progress into the
// region, until its terminal update. Three ways to show it:
//   raw   only what the container printed, byte for byte
//   text  the same, and typed updates as lines on stdout
//   json  every update as JSON Lines on stdout, state frames left out

import type { Client } from '../shared/client/create-client.ts'
import { isGap, isStateFrame, isTerminalUpdate, type Frame, type TerminalUpdate } from '../shared/update.ts'
import { createProgressView } from './render/progress-view.ts'
import { logBytesOf } from './render/log-bytes.ts'
import { updateText } from './render/update-text.ts'
import { say, type Cli } from './terminal/cli.ts'
import { createRegion, type Region } from './terminal/region.ts'

export type ShowAs = 'raw' | 'text' | 'json'

export interface FollowJob {
  readonly showAs: ShowAs
  readonly after?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** Stop, without an error, when nobody reads our stdout any more. */
  readonly endOnClosedStdout?: boolean
}

/** Resolves with the terminal update; undefined when the reader of our stdout went away first. */
export async function followJob(
  cli: Cli,
  client: Client,
  id: string,
  options: FollowJob,
): Promise<TerminalUpdate | undefined> {
  const region = createRegion(cli.stderr, cli.stdout)
  const view = createProgressView(id, Date.now())
  const lines = (): string[] => view.lines(Date.now())
  const notes = createNotes(cli)
  cli.region = region
  const redraw = setInterval(() => region.show(lines), 1_000)
  try {
    const updates = client.updates(id, {
      after: options.after,
      signal: options.signal,
      onReconnect: ({ tries, reason }) => {
        if (tries === 1) notes.say(`lost the connection (${reason}); going on from where it was`)
      },
    })
    for await (const frame of updates) {
      view.see(frame)
      notes.see(frame)
      await showFrame(cli, region, frame, options.showAs)
      region.show(lines)
      if (isTerminalUpdate(frame)) return frame
      if (options.endOnClosedStdout && cli.stdout.closed) return undefined
    }
    return undefined
  } finally {
    clearInterval(redraw)
    await notes.settled()
    cli.region = undefined
    await region.close()
  }
}

async function showFrame(cli: Cli, region: Region, frame: Frame, showAs: ShowAs): Promise<void> {
  if (showAs === 'json') {
    if (!isStateFrame(frame)) await region.around(() => cli.stdout.write(`${JSON.stringify(frame)}\n`))
    return
  }
  const printed = logBytesOf(frame)
  if (printed) return region.around(() => cli[printed.stream].write(printed.bytes))
  const text = updateText(frame)
  if (text === undefined) return
  if (showAs === 'text') return region.around(() => cli.stdout.write(`${text}\n`))
  // A raw stream has no place for these, and they must not be silent: lost updates, and the agent's remarks.
  if (isGap(frame) || frame.type === 'log_update') await say(cli, text)
}

/** Remarks on stderr for those who see no region, and of what a region cannot keep. */
function createNotes(cli: Cli) {
  let attempt = 0
  let phase = ''
  let last = Promise.resolve()
  const note = (text: string): void => void (last = say(cli, text))
  return {
    say: note,
    settled: (): Promise<void> => last,
    see(frame: Frame): void {
      if (!isStateFrame(frame)) return
      if (frame.attempt > 1 && frame.attempt > attempt) note(`attempt ${frame.attempt} begins`)
      if (frame.phase !== phase && frame.phase === 'reconnecting')
        note('the agent is silent; waiting for it to come back')
      attempt = Math.max(attempt, frame.attempt)
      phase = frame.phase
    },
  }
}
