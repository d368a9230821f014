// `dray doctor`: the way from here to a running job, step by step; each step says ok or what is wrong and what to do.
// Exit code 0 when everything is well, else 1. It changes nothing.

import { Command } from 'commander'
import { engineAnswers, findEngine } from '../deploy/engine-api.ts'
import { tryCommand } from '../deploy/engine-process.ts'
import { defaultStateDir, findNatsServer } from '../deploy/tools.ts'
import { createClient, type Client } from '../shared/client/create-client.ts'
import { readPublished } from './supervise/state-folder.ts'
import { findAddress, printJson, type Address, type Cli } from './terminal/cli.ts'

export interface Finding {
  readonly what: string
  readonly ok: boolean
  readonly detail: string
  /** Worth knowing, and no reason to fail. */
  readonly note?: true
}

const timeoutMs = 5_000
const maxSkewMs = 5_000

export function command(cli: Cli): Command {
  return new Command('doctor')
    .option('--json', 'print the findings as JSON')
    .action(async (options: { json?: boolean }) => {
      const findings = await examine(cli)
      if (options.json) await printJson(cli, { ok: findings.every(({ ok }) => ok), findings })
      else
        for (const { what, ok, note, detail } of findings) {
          const verdict = note ? 'note' : ok ? 'ok' : 'problem'
          await cli.stdout.write(`${verdict.padEnd(9)}${what.padEnd(15)}${detail}\n`)
        }
      cli.exitCode = findings.every(({ ok }) => ok) ? 0 : 1
    })
}

async function examine(cli: Cli): Promise<Finding[]> {
  const local = await Promise.all([examineEngine(cli), examineNats(cli)])
  let address: Address
  try {
    address = findAddress(cli)
  } catch (error) {
    return [{ what: 'address', ok: false, detail: (error as Error).message }, ...local]
  }
  const client = createClient({ url: address.url, token: address.token, timeoutMs })
  const server = await examineServer(address)
  if (!server[0]?.ok) return [...server, ...local]
  const key = await examineKey(client)
  return [
    ...server,
    key,
    await examineWebSocket(address),
    ...(key.ok ? await examineAgents(client) : []),
    ...local.map(asNote),
  ]
}

/** Where a control plane answers, what this machine could run by itself is no problem. */
function asNote(finding: Finding): Finding {
  return finding.ok ? finding : { ...finding, ok: true, note: true }
}

async function examineServer({ url, source }: Address): Promise<Finding[]> {
  const sentMs = Date.now()
  const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(timeoutMs) }).catch(
    (error: unknown) => error as Error,
  )
  if (response instanceof Error) {
    const why = response.cause instanceof Error ? response.cause.message : response.message
    return [
      {
        what: 'control plane',
        ok: false,
        detail: `${url} (from the ${source}) does not answer: ${why}. Is it running?`,
      },
    ]
  }
  const body = (await response.text()).slice(0, 500)
  const reached = {
    what: 'control plane',
    ok: response.ok,
    detail: response.ok ? `${url} is ready` : `${url} is not ready: ${body}`,
  }
  const date = Date.parse(response.headers.get('date') ?? '')
  if (Number.isNaN(date)) return [reached]
  // The header has whole seconds, and the answer was made somewhere between our two looks at the clock.
  const skewMs = Math.max(0, sentMs - (date + 1_000), date - Date.now())
  const clock = {
    what: 'clock',
    ok: skewMs <= maxSkewMs,
    detail:
      skewMs <= maxSkewMs
        ? 'agrees with the server'
        : `differs by ${Math.round(skewMs / 1000)} s: set this machine's time (NTP)`,
  }
  return [reached, clock]
}

async function examineKey(client: Client): Promise<Finding> {
  return client.list({ limit: 1 }).then(
    () => ({ what: 'key', ok: true, detail: 'is accepted' }),
    (error: unknown) => ({
      what: 'key',
      ok: false,
      detail: `${(error as Error).message}. Set DRAY_TOKEN to a valid key ("dray token key" on a machine that has one)`,
    }),
  )
}

/** A job that does not exist is refused after the upgrade (4404): proof that frames get through. */
function examineWebSocket({ url, token }: Address): Promise<Finding> {
  return new Promise((resolve) => {
    const protocols = token === undefined ? ['dray.v1'] : ['dray.v1', `bearer.${token}`]
    const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/v1/jobs/job_doctor/stream?after=0`, protocols)
    const timer = setTimeout(() => socket.close(), timeoutMs)
    let opened = false
    socket.addEventListener('open', () => (opened = true))
    socket.addEventListener('error', () => {})
    socket.addEventListener('close', ({ code }) => {
      clearTimeout(timer)
      const ok = opened && (code === 4404 || code === 1008)
      resolve({
        what: 'WebSocket',
        ok,
        detail: ok ? 'upgrade works' : `no upgrade (${code}): let the proxy in front pass "Upgrade: websocket"`,
      })
    })
  })
}

async function examineAgents(client: Client): Promise<Finding[]> {
  const { items } = await client.agents({ limit: 500 })
  if (items.length === 0)
    return [{ what: 'agents', ok: false, detail: 'none has joined: "dray token join" prints the command for one' }]
  return items.flatMap(({ id, name, state, posture, pool }) => [
    {
      what: 'agent',
      ok: state === 'ready',
      detail: `${id} (${name}, pool ${pool}) is ${state}${state === 'lost' ? ': start it again, or delete it' : ''}`,
    },
    ...posture.degraded.map((detail) => ({
      what: 'posture',
      ok: true,
      note: true as const,
      detail: `${name}: ${detail}`,
    })),
  ])
}

async function examineEngine(cli: Cli): Promise<Finding> {
  const own = readPublished(defaultStateDir(cli.env))?.engineSocket
  if (own !== undefined && (await engineAnswers(own)))
    return { what: 'engine', ok: true, detail: `the stack's own answers at ${own}` }
  return findEngine({ ...cli.env }).then(
    (socket) => ({
      what: 'engine',
      ok: true,
      detail: socket === undefined ? 'none here; "dray up" starts one where it may' : `answers at ${socket}`,
    }),
    (error: unknown) => ({ what: 'engine', ok: false, detail: (error as Error).message }),
  )
}

async function examineNats(cli: Cli): Promise<Finding> {
  return findNatsServer(cli.env).then(
    async (path) => ({
      what: 'nats-server',
      ok: true,
      detail: `${(await tryCommand(path, ['--version']))?.trim() ?? ''} at ${path}`,
    }),
    (error: unknown) => ({ what: 'nats-server', ok: false, detail: (error as Error).message }),
  )
}
