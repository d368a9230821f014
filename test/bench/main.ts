// Benchmarks: `npm run --silent bench -- start --json`. Numbers are measured beside their floor, where there is one, in one
// run. With --json the last line is the report.
import { parseArgs } from 'node:util'
import { adoptionBench } from './adoption-bench.ts'
import { awayBench } from './away-bench.ts'
import { socketsBench } from './sockets-bench.ts'
import { startBench } from './start-bench.ts'

const USAGE = `usage: npm run --silent bench -- NAME [--json]
  start [--samples N]                     a job's first byte against a bare container's
  adoption [--containers N] [--rounds N]  a killed agent has its containers back
  away [--minutes N]                      no control plane for so long, under load
  sockets [--seconds N]                   2,000 idle clients and 200 busy ones on one control plane
`
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    samples: { type: 'string', default: '40' },
    containers: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '5' },
    minutes: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '20' },
  },
})
const { json } = values
const benchmarks: Readonly<Record<string, () => Promise<void>>> = {
  start: () => startBench({ json, samples: Number(values.samples) }),
  adoption: () => adoptionBench({ json, containers: Number(values.containers), rounds: Number(values.rounds) }),
  away: () => awayBench({ json, minutes: Number(values.minutes) }),
  sockets: () => socketsBench({ json, seconds: Number(values.seconds) }),
}
const chosen = benchmarks[positionals[0] ?? '']
if (!chosen) {
  process.stderr.write(USAGE)
  process.exit(2)
}
await chosen()
