// Containers that print numbered lines on both streams until they are told to end, each watched by a client: what a test
// does to their agent, or to the control plane, shows in what the client got. Every byte is known, so that a lost or a
// repeated one is counted and not guessed.
import type { Client } from '../../shared/client/create-client.ts'
import { eventually } from './eventually.ts'
import { assertContiguous, field, follow, shell, type Story } from './jobs.ts'

export interface Printer {
  readonly id: string
  /** Wall clock, in ms, of the latest line that its client got: when the container printed it. */
  readonly printedAtMs: number
  /** When the client got that line, by the same clock. */
  readonly arrivedAtMs: number
}

export interface PrinterEnd {
  readonly story: Story
  readonly lostBytes: number
  readonly repeatedBytes: number
}

export interface Printers {
  readonly all: readonly Printer[]
  /** Until each client has a line that was printed after `sinceMs`; resolves with when the last of them got it. */
  untilAllPrinted(sinceMs: number, deadlineMs: number): Promise<number>
  /** Tells all to end, and reads each to its last byte from the beginning, by a new client. */
  end(): Promise<PrinterEnd[]>
}

const PAUSE_SECONDS = 0.25
const LINES_AT_ONCE = 10
const PAD = 'm'.repeat(90)
const TINY = { resources: { memory: '32m', cpus: 0.1 } }

/** `echo` and `[` are of the shell itself: one process for each burst of lines. */
const SCRIPT = `i=0; go=1; trap 'go=0' TERM
while [ $go = 1 ]; do
  to=$((i + ${LINES_AT_ONCE})); while [ $i -lt $to ]; do i=$((i + 1)); echo "$i ${PAD}"; done
  echo "e $i" >&2
  sleep ${PAUSE_SECONDS}
done
echo "end $i"`

export async function startPrinters(client: Client, image: string, count: number): Promise<Printers> {
  const body = shell(image, SCRIPT, TINY)
  const all = await Promise.all(
    Array.from({ length: count }, async () => {
      const printer = { id: (await client.submit(body)).id, printedAtMs: 0, arrivedAtMs: 0 }
      return { printer, watching: watch(client, printer) }
    }),
  )
  return {
    all: all.map(({ printer }) => printer),
    async untilAllPrinted(sinceMs, deadlineMs) {
      const late = (): Printer[] => all.map(({ printer }) => printer).filter((one) => one.printedAtMs <= sinceMs)
      await eventually(() => late().length === 0, {
        deadlineMs,
        everyMs: 5,
        what: `each of ${count} clients has what its container printed`,
      })
      return Math.max(...all.map(({ printer }) => printer.arrivedAtMs))
    },
    async end() {
      for (const { printer } of all) await client.cancel(printer.id, { graceSeconds: 30 })
      await Promise.all(all.map(({ watching }) => watching))
      return Promise.all(all.map(async ({ printer }) => endOf(await follow(client, printer.id))))
    },
  }
}

async function watch(client: Client, printer: { id: string; printedAtMs: number; arrivedAtMs: number }): Promise<void> {
  for await (const frame of client.updates(printer.id)) {
    if (field(frame, 'stream') !== 'stdout') continue
    printer.printedAtMs = Date.parse(String(field(frame, 'at')))
    printer.arrivedAtMs = Date.now()
  }
}

function endOf(story: Story): PrinterEnd {
  assertContiguous(story.updates)
  const contents = (stream: string): string[] =>
    story.updates.filter((update) => update['stream'] === stream).map((update) => String(update['content']))
  const count = Number(/^end (\d+)$/.exec(contents('stdout').at(-1) ?? '')?.[1])
  if (!(count > 0)) throw new Error(`Job ${story.job.id} has not printed its last line: ${story.terminal.status}`)
  const wanted = {
    stdout: [...Array.from({ length: count }, (_, index) => `${index + 1} ${PAD}`), `end ${count}`],
    stderr: Array.from({ length: count / LINES_AT_ONCE }, (_, index) => `e ${(index + 1) * LINES_AT_ONCE}`),
  }
  const differences = (['stdout', 'stderr'] as const).map((stream) => compare(wanted[stream], contents(stream)))
  return {
    story,
    lostBytes: differences.reduce((sum, { lostBytes }) => sum + lostBytes, 0),
    repeatedBytes: differences.reduce((sum, { repeatedBytes }) => sum + repeatedBytes, 0),
  }
}

/** Both in lines; a line that nobody printed, or at another place, is an error of its own. */
function compare(wanted: readonly string[], got: readonly string[]): { lostBytes: number; repeatedBytes: number } {
  const times = new Map<string, number>()
  for (const line of got) times.set(line, (times.get(line) ?? 0) + 1)
  let lostBytes = 0
  let repeatedBytes = 0
  for (const line of wanted) {
    const bytes = line.length + 1
    const seen = times.get(line) ?? 0
    if (seen === 0) lostBytes += bytes
    else repeatedBytes += (seen - 1) * bytes
  }
  const once = [...new Set(got)]
  const there = new Set(got)
  if (once.join('\n') !== wanted.filter((line) => there.has(line)).join('\n'))
    throw new Error('There are lines that the container did not print, or not in this order')
  return { lostBytes, repeatedBytes }
}
