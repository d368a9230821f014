// A tenant's HTTP calls, to either control plane in turn, each with a deadline. Every text that comes back is searched for
// the marker of the other tenant before anybody looks at it.

import type { History } from './history.ts'
import type { Tenant } from './job-mix.ts'
import type { Seeded } from './seeded.ts'
import type { Stage } from './stage.ts'

export interface Answer {
  /** 0: no answer. */
  readonly status: number
  readonly body: unknown
}

export interface TenantCalls {
  readonly tenant: Tenant
  call(method: 'GET' | 'POST', path: string, options?: CallOptions): Promise<Answer>
  /** Notes it when the text holds what is another tenant's. */
  inspect(text: string, where: string): void
}

export interface CallOptions {
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly deadlineMs?: number
}

export function tenantCalls(stage: Stage, tenant: Tenant, random: Seeded, history: History): TenantCalls {
  const others = stage.tenants.filter(({ name }) => name !== tenant.name)
  const inspect = (text: string, where: string): void => {
    if (others.some(({ marker }) => text.includes(marker))) history.note({ op: 'taint', tenant: tenant.name, where })
  }
  return {
    tenant,
    inspect,
    async call(method, path, { body, headers, deadlineMs = 8_000 } = {}) {
      try {
        const response = await fetch(`${random.pick(stage.controlPlanes).url}${path}`, {
          method,
          headers: { Authorization: `Bearer ${tenant.key}`, 'Content-Type': 'application/json', ...headers },
          signal: AbortSignal.timeout(deadlineMs),
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        })
        const text = await response.text()
        inspect(text, `${method} ${path}`)
        return { status: response.status, body: text === '' ? null : (JSON.parse(text) as unknown) }
      } catch {
        // Refused, cut, too late: the same to a client, who asks again.
        return { status: 0, body: null }
      }
    },
  }
}
