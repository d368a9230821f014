// Faults of processes: killed, asked to end, stopped for a while. A lease is four seconds here, so that the longer stops
// are longer than one.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Fault, FaultTarget } from './nemesis.ts'
import type { Part } from './part.ts'
import type { Stage, StageAgent } from './stage.ts'

export function processFaults(stage: Stage): Fault[] {
  const controlPlanes = stage.controlPlanes.map(({ part }) => part)
  const agents = stage.agents.map(({ part }) => part)
  return [
    ...downAndUp('control_plane', controlPlanes, { kill: 4, term: 2 }),
    ...downAndUp('agent', agents, { kill: 4, term: 2 }),
    ...downAndUp('nats', [stage.nats], { kill: 2, term: 1 }),
    stopAndGo('control_plane_stop', controlPlanes, 3, 8),
    stopAndGo('agent_stop', agents, 3, 11),
    stopAndGo('nats_stop', [stage.nats], 2, 11),
    { kind: 'engine_kill', weight: 2, targets: stage.agents.map(engineKill) },
  ]
}

function downAndUp(
  name: string,
  parts: readonly Part[],
  weights: { readonly kill: number; readonly term: number },
): Fault[] {
  const targets = (signal: 'SIGKILL' | 'SIGTERM'): FaultTarget[] =>
    parts.map((part) => ({
      name: part.name,
      takes: [part.name],
      act: async (random) => {
        await part.down(signal)
        // Most supervisors are quick; sometimes nobody is there.
        await sleep(random.chance(0.75) ? random.between(0, 800) : random.between(1_000, 8_000))
        part.up()
      },
    }))
  return [
    { kind: `${name}_kill`, weight: weights.kill, targets: targets('SIGKILL') },
    { kind: `${name}_term`, weight: weights.term, targets: targets('SIGTERM') },
  ]
}

function stopAndGo(kind: string, parts: readonly Part[], weight: number, maxSeconds: number): Fault {
  return {
    kind,
    weight,
    targets: parts.map((part) => ({
      name: part.name,
      takes: [part.name],
      act: async (random) => {
        part.freeze()
        await sleep(random.between(300, maxSeconds * 1_000))
        part.thaw()
      },
    })),
  }
}

function engineKill({ part, engine }: StageAgent): FaultTarget {
  return {
    name: `${part.name}-engine`,
    takes: [`${part.name}-engine`],
    act: async (random) => {
      await engine.kill()
      await sleep(random.between(0, 3_000))
      await engine.start()
    },
  }
}
