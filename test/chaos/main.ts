// `npm run chaos -- --minutes M --seed S [--soak] [--json] [--keep]`: real processes, a nemesis, and a reading of everything
// at the end. Exit code 1 if any promise was broken. With --json the last line is the report. --keep leaves the folder with
// the history and the logs. --soak takes its time: few jobs, few faults, and nothing that each process holds may grow.

import { parseArgs } from 'node:util'
import { INNER, runInside } from './namespace.ts'
import { runChaos } from './run.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    seed: { type: 'string', default: '1' },
    soak: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
})

async function main(): Promise<number> {
  const dir = process.env[INNER]
  if (dir === undefined) return runInside(import.meta.filename, process.argv.slice(2), values.keep)
  const stop = new AbortController()
  // The outer process holds the other end: its end, wished or not, is ours.
  process.stdin
    .on('end', () => stop.abort())
    .on('error', () => stop.abort())
    .resume()
  const startedAt = performance.now()
  const say = (what: string): void =>
    void process.stderr.write(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s  ${what}\n`)
  if (values.keep) say(`history and logs are in ${dir}`)
  const minutes = Number(values.minutes)
  const { soak } = values
  const { report, violations } = await runChaos({
    dir,
    minutes,
    seed: Number(values.seed),
    soak,
    say,
    stop: stop.signal,
  })
  say(violations.length === 0 ? 'every promise was kept' : `${violations.length} violations`)
  if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`)
  return stop.signal.aborted || violations.length > 0 ? 1 : 0
}

process.exit(await main())
