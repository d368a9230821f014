// `dray agent`: an agent on this machine, until SIGTERM. The join token is needed once per state folder; in the
// environment (DRAY_JOIN_TOKEN) it does not show in the process list.

import { Command } from 'commander'
import { UsageError, type Cli } from './terminal/cli.ts'
import { watchInterrupts } from './terminal/interrupts.ts'

interface AgentOptions {
  readonly url?: string
  readonly joinToken?: string
  readonly state?: string
  readonly name?: string
  readonly pool?: string
  readonly label?: string[]
  readonly drain?: boolean
}

export function command(cli: Cli): Command {
  return new Command('agent')
    .option('--url <url>', 'the control plane (DRAY_URL)')
    .option('--join-token <token>', 'from "dray token join" (DRAY_JOIN_TOKEN)')
    .option('--state <dir>', "the agent's own folder (DRAY_STATE)")
    .option('--name <name>', 'a name for people')
    .option('--pool <name>', 'which jobs it takes')
    .option('-l, --label <K=V>', 'what jobs can ask for', (text: string, before: string[] | undefined) => [
      ...(before ?? []),
      text,
    ])
    .option('--drain', 'on SIGTERM wait for all jobs, however long they take')
    .action((options: AgentOptions) => runAgent(cli, options))
}

async function runAgent(cli: Cli, flags: AgentOptions): Promise<void> {
  const { ConfigError, loadConfig } = await import('../runner-agent/config.ts')
  const { startAgent } = await import('../runner-agent/main.ts')
  let config: ReturnType<typeof loadConfig>
  try {
    config = loadConfig(cli.env, flags)
  } catch (error) {
    throw error instanceof ConfigError ? new UsageError(error.message) : error
  }
  const agent = await startAgent(config)
  // First signal: no new work, running jobs may end. Second: leave at once; they stay for the next process.
  const interrupts = watchInterrupts([() => agent.drain(), () => void agent.close()])
  cli.exitCode = await agent.done
  interrupts.close()
}
