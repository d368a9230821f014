// The agent's connection to NATS, simulated (runner-agent/nats-connection.ts): run commands come, requests are stored and
// answered. An answer may be lost although the message was stored; then the fate is unknown, as it is in production.
import type { AgentConnection, AgentConnectionOptions } from '../../runner-agent/nats-connection.ts'
import { before, type Nats } from './sim-bus.ts'
import type { Proc } from './loop.ts'

const REQUEST_TIMEOUT_MS = 2_000

export function createSimAgentConnection(nats: Nats, proc: Proc, options: AgentConnectionOptions): AgentConnection {
  const { core, links, net, server } = nats
  const link = links.open(proc)
  const listeners = core.runs.get(options.agent) ?? new Set()
  core.runs.set(options.agent, listeners)
  const listener = { link, onRun: options.onRun }
  listeners.add(listener)
  const onDeath = (): void => void listeners.delete(listener)
  proc.onDeath.add(onDeath)
  link.watch({ up: () => options.onUp?.() })
  return {
    setJwt: () => undefined,
    async request(subject, body, head, signal) {
      await link.ready(signal)
      const expected = head['Nats-Expected-Last-Subject-Sequence']
      const down = new AbortController()
      const unwatch = link.watch({ down: () => down.abort(new Error('NATS disconnected')) })
      const ending = AbortSignal.any([signal, down.signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)])
      try {
        const answer = await before(
          ending,
          net.call(links.server, async () =>
            server.publish(subject, body, expected === undefined ? null : Number(expected)),
          ),
        )
        if (answer === null) throw new Error('no responders')
        return JSON.stringify(answer)
      } finally {
        unwatch()
      }
    },
    problem: () => (link.isUp ? null : 'not connected'),
    close() {
      listeners.delete(listener)
      proc.onDeath.delete(onDeath)
      link.close()
      return Promise.resolve()
    },
  }
}
