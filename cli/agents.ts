// `dray agents`: the fleet; and `dray agents cordon|uncordon|drain ID`.

import { Command } from 'commander'
import type { AgentView } from '../shared/fleet.ts'
import { table } from './render/table.ts'
import { agoText, sizeText } from './render/time-text.ts'
import { clientOf, printJson, say, type Cli } from './terminal/cli.ts'

const actions = {
  cordon: 'give it no new work',
  uncordon: 'give it work again',
  drain: 'no new work; what it runs goes on to its end',
} as const

export function command(cli: Cli): Command {
  const agents = new Command('agents')
    .option('--json', "print the API's answer")
    .action((options: { json?: boolean }) => list(cli, options))
  for (const [action, summary] of Object.entries(actions) as [keyof typeof actions, string][]) {
    agents
      .command(action)
      .summary(summary)
      .argument('<id>', 'agent id')
      .option('--json', "print the API's answer")
      .action(async (id: string, options: { json?: boolean }) => {
        const agent = await clientOf(cli).setAgent(id, action)
        if (options.json) await printJson(cli, agent)
        else await say(cli, `${id} is ${agent.state}`)
      })
  }
  return agents
}

async function list(cli: Cli, options: { json?: boolean }): Promise<void> {
  const page = await clientOf(cli).agents({ limit: 500 })
  if (options.json) return printJson(cli, page)
  if (page.items.length === 0) return say(cli, 'no agent has joined; "dray token join" prints the command for one')
  const nowMs = Date.now()
  await cli.stdout.write(
    table(
      ['ID', 'NAME', 'POOL', 'STATE', 'CPUS', 'MEMORY', 'GPUS', 'JOBS', 'SEEN', 'DEGRADED'],
      page.items.map((agent) => rowOf(agent, nowMs)),
    ),
  )
}

function rowOf(agent: AgentView, nowMs: number): string[] {
  const { capacity, used } = agent
  return [
    agent.id,
    agent.name,
    agent.pool,
    agent.state,
    `${round(used.cpus)}/${round(capacity.cpus)}`,
    `${sizeText(used.memory)}/${sizeText(capacity.memory)}`,
    `${used.gpus.length}/${capacity.gpus.length}`,
    String(agent.running.length),
    agoText(agent.last_seen_at, nowMs),
    // Whole sentences: doctor has room for them.
    agent.posture.degraded.length === 0 ? '' : `${agent.posture.degraded.length} (dray doctor)`,
  ]
}

function round(value: number): string {
  return String(Math.round(value * 10) / 10)
}
