// One schedule, told line by line: `node test/sim/try.ts SEED`.
import { installVirtualGlobals } from './virtual-globals.ts'

const realNow = performance.now.bind(performance)
installVirtualGlobals()
const { makePlan } = await import('./plan.ts')
const { runSchedule, unhandledRejection } = await import('./schedule.ts')
process.on('unhandledRejection', unhandledRejection)
const first = Number(process.argv[2] ?? 1)
const count = Number(process.argv[3] ?? 1)
const started = realNow()
for (let seed = first; seed < first + count; seed += 1) {
  const verdict = await runSchedule(
    makePlan(seed),
    count === 1 ? { onTrace: (line) => console.log(line), strict: process.argv[4] === 'strict' } : {},
  )
  if (count === 1 || verdict.violations.length > 0) console.log(JSON.stringify(verdict))
}
console.log(((realNow() - started) / count).toFixed(2), 'ms each')
