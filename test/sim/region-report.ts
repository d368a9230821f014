// What calm schedules over several regions measured: for each region its distance from the database, and the latencies of
// those who are there.
import { HOME, REGIONS, roundTripMs } from './regions.ts'
import { MEASURED, spreadOf, type Measured, type Sample, type Spread } from './stopwatch.ts'

export interface RegionLatencies extends Readonly<Record<Measured, Spread>> {
  readonly region: string
  readonly round_trip_ms: number
}

export function latenciesOf(samples: readonly Sample[]): readonly RegionLatencies[] {
  return REGIONS.map((region, index) => {
    const spreads = MEASURED.map((what) => [what, spreadOf(samples, what, index)] as const)
    return {
      region,
      round_trip_ms: roundTripMs(HOME, index),
      ...(Object.fromEntries(spreads) as Record<Measured, Spread>),
    }
  })
}

export function tableOf(rows: readonly RegionLatencies[]): string {
  const cells = ({ p50, p99 }: Spread): string => `${p50} / ${p99}`
  const lines = rows.map((row) =>
    [row.region, row.round_trip_ms, ...MEASURED.map((what) => cells(row[what]))].join('\t'),
  )
  return ['region\tround trip\tsubmit p50 / p99\tclaim\tfirst update\tlisted', ...lines].join('\n')
}
