// Portable: Web APIs only.
//
// Counts requests, and writes everything that is counted as Prometheus text.
import type { Metrics } from '../core/ports.ts'

export interface RequestMetrics {
  /** `route` is a pattern such as /v1/jobs/:id: a metric must not grow with ids. */
  count(method: string, route: string, status: number, durationMs: number): void
  text(core: Metrics, relayClients: number): string
}

interface Series {
  readonly labels: string
  count: number
  seconds: number
}

export function createRequestMetrics(): RequestMetrics {
  const requests = new Map<string, Series>()
  return {
    count(method, route, status, durationMs) {
      const labels = `method="${method}",route="${route}",status="${status}"`
      const series = requests.get(labels) ?? { labels, count: 0, seconds: 0 }
      series.count += 1
      series.seconds += durationMs / 1000
      requests.set(labels, series)
    },
    text(core, relayClients) {
      const all = [...requests.values()]
      return [
        ...gauge('dray_jobs', 'Live jobs by phase.', byLabel('phase', core.jobsByPhase)),
        ...gauge('dray_agents', 'Agents by state.', byLabel('state', core.agentsByState)),
        ...gauge('dray_oldest_unclaimed_seconds', 'Age of the oldest assignment that no agent has claimed.', [
          ['', core.oldestUnclaimedMs / 1000],
        ]),
        ...gauge('dray_database_incarnation', 'Which life of the database it is: a restore begins the next.', [
          ['', core.databaseIncarnation],
        ]),
        '# HELP dray_updates_stream_incarnation_changes_total How often the stream of updates was found wiped or put back.',
        '# TYPE dray_updates_stream_incarnation_changes_total counter',
        `dray_updates_stream_incarnation_changes_total ${core.updatesStreamChanges}`,
        ...gauge('dray_relay_clients', 'Clients that follow a job on this instance.', [['', relayClients]]),
        '# HELP dray_http_request_duration_seconds Time until the response began.',
        '# TYPE dray_http_request_duration_seconds summary',
        ...all.map(({ labels, seconds }) => `dray_http_request_duration_seconds_sum{${labels}} ${seconds}`),
        ...all.map(({ labels, count }) => `dray_http_request_duration_seconds_count{${labels}} ${count}`),
        '',
      ].join('\n')
    },
  }
}

type Sample = readonly [labels: string, value: number]

function byLabel(label: string, counts: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(counts).map(([value, count]) => [`{${label}="${value}"}`, count])
}

function gauge(name: string, help: string, samples: readonly Sample[]): string[] {
  return [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} gauge`,
    ...samples.map(([labels, value]) => `${name}${labels} ${value}`),
  ]
}
