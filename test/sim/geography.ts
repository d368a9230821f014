// Where the hosts of a schedule are, and what that does to calls between them: how long the way is, and which control plane
// somebody asks. Without regions everything is in one place and any control plane is as good as any other.
import type { ControlPlane } from './control-plane.ts'
import type { Host } from './loop.ts'
import type { Prng } from './prng.ts'
import { HOME, REGIONS, roundTripMs, type RegionsPlan } from './regions.ts'

export interface Geography {
  readonly planes: number
  /** One way, on top of what any call takes. */
  readonly wayMs: (from: Host, to: Host) => number
  readonly choose: (from: Host, planes: readonly ControlPlane[]) => ControlPlane
  readonly regionOf: (host: Host) => number
}

/** Names and routes send some callers elsewhere than to the nearest. */
const STRAYS = 0.15

export function inOnePlace(random: Prng): Geography {
  return { planes: 2, wayMs: () => 0, choose: (_from, planes) => random.pick(planes), regionOf: () => HOME }
}

export function inRegions({ agentRegions, isCalm }: RegionsPlan, random: Prng): Geography {
  const regions = new Map<string, number>()
  const regionOf = ({ name }: Host): number => {
    const known = regions.get(name) ?? place(name, agentRegions)
    regions.set(name, known)
    return known
  }
  const wayMs = (from: Host, to: Host): number => roundTripMs(regionOf(from), regionOf(to)) / 2
  return {
    planes: REGIONS.length,
    wayMs,
    regionOf,
    choose(from, planes) {
      const alive = planes.filter(({ proc }) => proc.alive)
      if (alive.length === 0 || (!isCalm && random.chance(STRAYS))) return random.pick(planes)
      return alive.reduce((best, one) => (wayMs(from, one.host) < wayMs(from, best.host) ? one : best))
    },
  }
}

/** Control planes, their replicas and clients are in the region of their number, machines where the plan has them. */
function place(host: string, agentRegions: readonly number[]): number {
  const [, kind, digits] = /^([a-z]+)(\d+)$/.exec(host) ?? []
  if (digits === undefined) return HOME
  return kind === 'machine' ? (agentRegions[Number(digits)] ?? HOME) : Number(digits)
}
