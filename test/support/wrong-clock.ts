// A Node process whose wall clock is wrong, and steps while it runs: preloaded by `node --import`, it moves Date by as many
// milliseconds as a file says, looked at ten times a second, and leaves the monotonic and boot clocks alone, as a step of
// the wall clock does. All wall time of ours comes from Date. What is not JavaScript (the dates of a TLS certificate) and all
// other processes keep the machine's time. The engine too: so the agent's own clock and the stamps that it compares it with
// differ, which a step in between, or an engine in a virtual machine, does as well.
//
// Not libfaketime: one more Debian package, and it stands between Node and the clocks that its timers run on.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const FILE = 'DRAY_TEST_CLOCK_FILE'
const LOOK_EVERY_MS = 100

export interface WrongClock {
  /** Of the processes that are to have it. */
  readonly env: Readonly<Record<string, string>>
  /** Ahead, or behind where negative, from now on. */
  step(shiftMs: number): void
}

export function createWrongClock(file: string, shiftMs: number): WrongClock {
  const step = (ms: number): void => writeFileSync(file, String(ms))
  step(shiftMs)
  return { env: { NODE_OPTIONS: `--import=${fileURLToPath(import.meta.url)}`, [FILE]: file }, step }
}

function moveDate(file: string): void {
  const TrueDate = Date
  let shiftMs = 0
  const look = (): void => {
    shiftMs = Number(readFileSync(file, 'utf8'))
  }
  const now = (): number => TrueDate.now() + shiftMs
  globalThis.Date = new Proxy(TrueDate, {
    construct: (target, given, asked) => Reflect.construct(target, given.length === 0 ? [now()] : given, asked) as Date,
    apply: () => new TrueDate(now()).toString(),
    get: (target, name) => (name === 'now' ? now : (Reflect.get(target, name) as unknown)),
  })
  look()
  setInterval(look, LOOK_EVERY_MS).unref()
}

const { [FILE]: file } = process.env
if (file !== undefined) moveDate(file)
