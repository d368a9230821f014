// Benchmarks: `npm run --silent bench -- start --json`. Numbers are measured beside their floor, in one run.
import { startBench } from './start-bench.ts'

const [name, ...args] = process.argv.slice(2)
if (name !== 'start') {
  process.stderr.write('usage: npm run --silent bench -- start [--json] [--samples N]\n')
  process.exit(2)
}
const at = args.indexOf('--samples')
await startBench({ json: args.includes('--json'), samples: at === -1 ? 40 : Number(args[at + 1]) })
