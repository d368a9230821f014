// How fast a killed agent has its containers back: `kill -9` with so many of them printing, started again at once, several
// times over, and at the end every byte of each compared with what was printed.
//
// The last line printed is {"containers","rounds","adopted","adopted_ms","flowing_ms","lost_bytes","repeated_bytes"}; times
// count from the restart of the process to the last container of a round.
import { restartKilled, type Adoption } from '../support/adoption.ts'
import { startPrinters } from '../support/printers.ts'
import { withBenchStack } from './bench-stack.ts'
import { quantilesOf } from './quantiles.ts'

const START_DEADLINE_MS = 60_000

export async function adoptionBench(options: { json: boolean; containers: number; rounds: number }): Promise<void> {
  const { json, containers, rounds } = options
  const say = (text: string): void => void process.stderr.write(`${text}\n`)
  await withBenchStack({ agents: 1 }, async ({ client, agents: [agent] }, image) => {
    if (!agent) throw new Error('There is no agent.')
    const printers = await startPrinters(client, image, containers)
    await printers.untilAllPrinted(0, START_DEADLINE_MS)
    const taken: Adoption[] = []
    for (let round = 1; round <= rounds; round += 1) {
      const adoption = await restartKilled(agent, printers, client)
      taken.push(adoption)
      say(
        `${round}: ${adoption.adopted} of ${containers} adopted in ${adoption.adoptedMs} ms, output flows in ${adoption.flowingMs} ms`,
      )
    }
    const ends = await printers.end()
    const report = {
      containers,
      rounds,
      adopted: Math.min(...taken.map(({ adopted }) => adopted)),
      adopted_ms: quantilesOf(taken.map(({ adoptedMs }) => adoptedMs)),
      flowing_ms: quantilesOf(taken.map(({ flowingMs }) => flowingMs)),
      lost_bytes: ends.reduce((sum, { lostBytes }) => sum + lostBytes, 0),
      repeated_bytes: ends.reduce((sum, { repeatedBytes }) => sum + repeatedBytes, 0),
    }
    say(`bytes lost ${report.lost_bytes}, repeated ${report.repeated_bytes}`)
    if (json) process.stdout.write(`${JSON.stringify(report)}\n`)
  })
}
