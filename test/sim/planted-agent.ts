// Planted bugs of the agent and its publishing.
import type { AgentConnection } from '../../runner-agent/nats-connection.ts'
import type { Planted } from './planted-bug.ts'

const CONFLICT = '"err_code":10071'
const EXPECTED = 'Nats-Expected-Last-Subject-Sequence'

const onRequest = (
  ask: (connection: AgentConnection, ...request: Parameters<AgentConnection['request']>) => Promise<string>,
) => ({
  connection: (connection: AgentConnection): AgentConnection => ({
    ...connection,
    request: (...request) => ask(connection, ...request),
  }),
})

export const plantedInAgent: readonly Planted[] = [
  {
    name: 'no-adoption',
    breaks: 'an agent that comes back does not look for its containers: they run on and stay',
    plant: () => ({ engine: (engine) => ({ ...engine, listContainers: async () => [] }) }),
  },
  {
    name: 'no-reaper',
    breaks: 'a container whose agent is cut off for longer than lost_after is not stopped',
    plant: () => ({ bootSeconds: () => () => 0 }),
  },
  {
    name: 'fence-not-waited-for',
    breaks: 'a second attempt starts before its first update is stored',
    plant: () =>
      onRequest(async (connection, subject, body, head, signal) => {
        const isFirst = head[EXPECTED] === '0'
        const asked = connection.request(subject, body, head, signal)
        if (!isFirst) return asked
        asked.catch(() => undefined)
        return JSON.stringify({ seq: 1 })
      }),
  },
  {
    name: 'publish-without-expected-sequence',
    breaks: 'a process that was superseded mixes its updates with those of the newer one',
    plant: () =>
      onRequest(async (connection, subject, body, _head, signal) => connection.request(subject, body, {}, signal)),
  },
  {
    name: 'conflict-read-as-success',
    breaks: 'a message that the server refused counts as stored',
    plant: () =>
      onRequest(async (connection, subject, body, head, signal) => {
        const answer = await connection.request(subject, body, head, signal)
        return answer.includes(CONFLICT) ? JSON.stringify({ seq: Number(head[EXPECTED]) + 1 }) : answer
      }),
  },
  {
    name: 'lost-answer-read-as-success',
    breaks: 'a message without an answer counts as stored',
    plant: () =>
      onRequest(async (connection, subject, body, head, signal) => {
        try {
          return await connection.request(subject, body, head, signal)
        } catch (error) {
          if (signal.aborted) throw error
          return JSON.stringify({ seq: Number(head[EXPECTED]) + 1 })
        }
      }),
  },
  {
    name: 'fenced-finish-kept',
    breaks: 'an agent that is told that its attempt does not count asks for ever, and its container stays',
    plant: () => ({
      calls: (calls) => ({
        ...calls,
        async finish(key, body, signal) {
          const answer = await calls.finish(key, body, signal)
          return answer.kind === 'fenced' ? { kind: 'refused', status: 400, code: 'bad_request', detail: '' } : answer
        },
      }),
    }),
  },
]
