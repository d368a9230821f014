// Which nats-servers may be used. Below 2.10.28 an agent can crash the server with one publish whose reply names an
// imported subject, so such a server is refused and not just warned about.
import type { NatsConnection } from '@nats-io/nats-core'

const OLDEST = [2, 10, 28] as const

/** Null, or why this server is refused. */
export function refuseServer(connection: NatsConnection): string | null {
  const version = connection.info?.version ?? 'unknown'
  return isNewEnough(version) ? null : `nats-server ${version} is too old: ${OLDEST.join('.')} or newer is needed`
}

export function isNewEnough(version: string): boolean {
  const parts = version.split('.').map((part) => Number.parseInt(part, 10))
  for (const [at, least] of OLDEST.entries()) {
    const part = parts[at] ?? Number.NaN
    if (part !== least) return part > least
  }
  return true
}
