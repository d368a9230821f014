// The control plane as one Node process: `node control-plane/entry/node.ts`. Its settings are in control-plane-config.ts;
// what it is made of is in hosted.ts.
import type { ControlPlaneConfig } from './control-plane-config.ts'
import { runOnHost, startOnHost, type ControlPlane, type Host, type StartOptions } from './hosted.ts'
import { createNodePlatform } from './node-platform.ts'
import { startNodeServer } from './node-server.ts'

const node: Host = { platform: createNodePlatform(), listen: startNodeServer }

export function startControlPlane(config: ControlPlaneConfig, options?: StartOptions): Promise<ControlPlane> {
  return startOnHost(node, config, options)
}

export function runControlPlane(environment: Readonly<Record<string, string | undefined>>): Promise<number> {
  return runOnHost(node, environment)
}

if (import.meta.main) process.exitCode = await runControlPlane(process.env)
