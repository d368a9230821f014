// `dray control-plane`: a control plane on this machine, configured by its environment (docs say which), until SIGTERM.

import { Command } from 'commander'
import type { Cli } from './terminal/cli.ts'

export function command(cli: Cli): Command {
  return new Command('control-plane').action(async () => {
    const { runControlPlane } = await import('../control-plane/entry/node.ts')
    cli.exitCode = await runControlPlane(cli.env)
  })
}
