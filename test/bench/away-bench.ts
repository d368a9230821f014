// The control plane at zero for minutes, under load: what is lost, and how soon after its start all is caught up.
//
// The last line printed is {"minutes","jobs","lost_jobs","lost_bytes","repeated_bytes","lapsed","ready_ms","caught_up_ms",
// "flowing_ms"}; test/support/outage.ts says what each means.
import { runOutage } from '../support/outage.ts'
import { withBenchStack } from './bench-stack.ts'

const LOAD = { printing: 20, ending: 20, endsAfterSeconds: 20, asking: 20 }

export async function awayBench({ json, minutes }: { json: boolean; minutes: number }): Promise<void> {
  const say = (text: string): void => void process.stderr.write(`${text}\n`)
  await withBenchStack({ agents: 2 }, async (stack, image) => {
    say(`the control plane will be away for ${minutes} min`)
    const outage = await runOutage(stack, { ...LOAD, image, awayMs: minutes * 60_000 })
    say(
      `${outage.jobs} jobs, ${outage.lostJobs} lost; caught up ${outage.caughtUpMs} ms after the start, ` +
        `waiting clients after ${outage.flowingMs} ms`,
    )
    const report = {
      minutes,
      jobs: outage.jobs,
      lost_jobs: outage.lostJobs,
      lost_bytes: outage.lostBytes,
      repeated_bytes: outage.repeatedBytes,
      lapsed: outage.lapsed,
      ready_ms: outage.readyMs,
      caught_up_ms: outage.caughtUpMs,
      flowing_ms: outage.flowingMs,
    }
    if (json) process.stdout.write(`${JSON.stringify(report)}\n`)
  })
}
