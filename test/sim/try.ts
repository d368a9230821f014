// One schedule, told line by line: `node test/sim/try.ts SEED [PLANT] [--regions]`.
import { parseArgs } from 'node:util'
import { installVirtualGlobals } from './virtual-globals.ts'

installVirtualGlobals()
const { makePlan } = await import('./plan.ts')
const { makeRegionsPlan } = await import('./regions-plan.ts')
const { hooksOf } = await import('./planted.ts')
const { runSchedule, unhandledRejection } = await import('./schedule.ts')

process.on('unhandledRejection', unhandledRejection)
const { values, positionals } = parseArgs({ options: { regions: { type: 'boolean' } }, allowPositionals: true })
const [seed = '1', plant = null] = positionals
const plan = values.regions ? makeRegionsPlan(Number(seed)) : makePlan(Number(seed))
const onTrace = (line: string): void => console.log(line)
console.log(JSON.stringify(await runSchedule(plan, { hooks: hooksOf(plant), onTrace }), null, 2))
