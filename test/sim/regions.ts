// Five regions, how far apart they are, and what of a schedule has to do with them.

/** Home has the database's primary and the stream. */
export const REGIONS = ['home', 'near', 'middle', 'far', 'antipode'] as const
export const HOME = 0

/** Round trips between regions, in ms. */
const ROUND_TRIPS_MS: readonly (readonly number[])[] = [
  [0, 30, 80, 150, 250],
  [30, 0, 60, 130, 230],
  [80, 60, 0, 90, 180],
  [150, 130, 90, 0, 110],
  [250, 230, 180, 110, 0],
]

export function roundTripMs(from: number, to: number): number {
  return ROUND_TRIPS_MS[from]?.[to] ?? 0
}

export interface RegionsPlan {
  /** No faults, and everybody reaches the nearest control plane. */
  readonly isCalm: boolean
  readonly agentRegions: readonly number[]
  /** One for each region. */
  readonly replicas: readonly ReplicaPlan[]
}

export interface ReplicaPlan {
  /** It takes over what the primary has every so often, at most. */
  readonly syncMs: number
  readonly standsStill: { readonly atMs: number; readonly forMs: number } | null
}
