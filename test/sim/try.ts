// One schedule, told line by line: `node test/sim/try.ts SEED [PLANT]`.
import { installVirtualGlobals } from './virtual-globals.ts'

installVirtualGlobals()
const { makePlan } = await import('./plan.ts')
const { hooksOf } = await import('./planted.ts')
const { runSchedule, unhandledRejection } = await import('./schedule.ts')

process.on('unhandledRejection', unhandledRejection)
const [seed = '1', plant = null] = process.argv.slice(2)
const onTrace = (line: string): void => console.log(line)
console.log(JSON.stringify(await runSchedule(makePlan(Number(seed)), { hooks: hooksOf(plant), onTrace }), null, 2))
