// One control plane with 2,000 idle WebSocket clients and 200 busy ones: how late an update is at a client, and what the
// process weighs. Clients, agents and nats-server are on the same cores.
//
// The last line printed is {"idle","busy","updates","relay_ms","wrong","connect_ms","rss_mib"}; test/support/many-sockets.ts
// says what each means.
import { runManySockets } from '../support/many-sockets.ts'
import { quantilesOf } from './quantiles.ts'

const LOAD = {
  idle: { jobs: 200, clients: 2_000 },
  busy: { jobs: 50, clients: 200 },
  updatesPerSecond: 4,
} as const

export async function socketsBench({ json, seconds }: { json: boolean; seconds: number }): Promise<void> {
  const { latenciesMs, wrong, connectMs, rssMiB } = await runManySockets({ ...LOAD, seconds })
  const report = {
    idle: LOAD.idle.clients,
    busy: LOAD.busy.clients,
    updates: latenciesMs.length,
    relay_ms: { ...quantilesOf(latenciesMs), max: Math.round(Math.max(...latenciesMs)) },
    wrong,
    connect_ms: Math.round(connectMs),
    rss_mib: rssMiB,
  }
  process.stderr.write(
    `${report.updates} frames at ${LOAD.busy.clients} busy clients: p50 ${report.relay_ms.p50} ms, p99 ${report.relay_ms.p99} ms; ` +
      `${rssMiB.before} MiB before, ${rssMiB.connected} MiB with all clients, ${rssMiB.most} MiB at most\n`,
  )
  if (json) process.stdout.write(`${JSON.stringify(report)}\n`)
}
