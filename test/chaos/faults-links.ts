// Faults of the network: a link cut both ways or one way, slow, or losing packets. Short ones no lease notices; long ones
// outlast a lease and, for NATS, its keep-alive.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Link, LinkFault } from './link.ts'
import type { Fault, FaultTarget } from './nemesis.ts'
import type { Seeded } from './seeded.ts'
import type { Stage } from './stage.ts'

export function linkFaults(stage: Stage): Fault[] {
  const groups: Readonly<Record<string, readonly Link[]>> = {
    agent_control_plane: stage.agents.map(({ toControlPlane }) => toControlPlane),
    agent_nats: stage.agents.map(({ toNats }) => toNats),
    control_plane_nats: stage.controlPlanes.map(({ toNats }) => toNats),
  }
  const cuts = Object.entries(groups).flatMap(([name, links]): Fault[] => [
    { kind: `partition_${name}`, weight: 2, targets: targetsOf(links, () => ({ up: 'cut', down: 'cut' })) },
    {
      kind: `partition_one_way_${name}`,
      weight: 1,
      targets: targetsOf(links, (random) => (random.chance(0.5) ? { up: 'cut' } : { down: 'cut' })),
    },
  ])
  const slow = (random: Seeded): LinkFault => ({ delayMs: random.between(20, 500), jitterMs: random.between(0, 400) })
  return [
    ...cuts,
    { kind: 'delay', weight: 2, targets: targetsOf(stage.links, slow) },
    { kind: 'loss', weight: 2, targets: targetsOf(stage.links, (random) => ({ loss: random.between(0.02, 0.2) })) },
    {
      kind: 'connections_reset',
      weight: 2,
      targets: stage.links.map((link) => ({
        name: link.name,
        takes: [link.name],
        act: () => Promise.resolve(link.reset()),
      })),
    },
  ]
}

function targetsOf(links: readonly Link[], fault: (random: Seeded) => LinkFault): FaultTarget[] {
  return links.map((link) => ({
    name: link.name,
    takes: [link.name],
    act: async (random) => {
      link.fault(fault(random))
      await sleep(random.chance(0.6) ? random.between(300, 3_000) : random.between(3_000, 14_000))
      link.fault(null)
    },
  }))
}
