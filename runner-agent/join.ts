// Becoming an agent of a control plane, and being the same one after a restart. A join token is used whenever there is
// one: joining again with the same nkey replaces the key, the labels and the NATS addresses, and never adds an agent. A
// token that is no longer accepted is no harm to a folder that has joined before.
import { setTimeout as sleep } from 'node:timers/promises'
import { fromSeed } from '@nats-io/nkeys'
import { AGENT_PROTOCOL, type JoinAnswer } from '../shared/agent-protocol.ts'
import { backoffMs } from '../shared/backoff.ts'
import { sentenceOf, type AgentLog } from './agent-log.ts'
import type { Machine } from './capacity.ts'
import type { AgentConfig } from './config.ts'
import { ControlPlaneAway, type ControlPlane } from './control-plane-client.ts'
import type { Membership, StateFolder } from './state-folder.ts'

export class JoinRefused extends Error {
  override readonly name = 'JoinRefused'
}

export interface JoinOptions {
  readonly config: AgentConfig
  readonly folder: StateFolder
  readonly controlPlane: ControlPlane
  readonly machine: Machine
  readonly log: AgentLog
}

const BACKOFF = { firstMs: 250, maxMs: 5_000 }

/** The membership to work with; waits for the control plane only where nothing is known yet. */
export async function becomeMember(options: JoinOptions, signal: AbortSignal): Promise<Membership> {
  const { config, folder, log } = options
  const known = await folder.readMembership()
  const usable = known?.url === config.url ? known : null
  if (config.joinToken === null) {
    if (usable) return usable
    const why = known ? `has joined ${known.url}, not ${config.url}` : 'has not joined yet'
    throw new JoinRefused(
      `The agent needs a join token: its state folder "${config.stateDir}" ${why}. Make one with "dray token" and give --join-token.`,
    )
  }
  for (let tries = 0; ; tries += 1) {
    signal.throwIfAborted()
    try {
      return await joinOnce(options, signal)
    } catch (error) {
      if (usable && (error instanceof ControlPlaneAway || error instanceof JoinRefused)) {
        log.info('Goes on as the agent that it was.', { agent: usable.agent, because: sentenceOf(error) })
        return usable
      }
      if (!(error instanceof ControlPlaneAway)) throw error
      log.warn('Waits for the control plane to join it.', { error: sentenceOf(error) })
    }
    await sleep(backoffMs(tries, BACKOFF, Math.random()), undefined, { signal })
  }
}

export async function joinOnce(
  { config, folder, controlPlane, machine }: JoinOptions,
  signal: AbortSignal,
): Promise<Membership> {
  const body = {
    join_token: config.joinToken ?? '',
    nkey: fromSeed(folder.seed).getPublicKey(),
    ...(config.name === null ? {} : { name: config.name }),
    pool: config.pool,
    labels: config.labels,
    protocol: AGENT_PROTOCOL,
    version: config.version,
    boot_id: config.bootId,
    capacity: machine.capacity,
    posture: machine.posture,
  }
  const answer = await controlPlane.join(body, signal)
  if (answer.kind !== 'ok')
    throw new JoinRefused(`The control plane at ${config.url} refused to take this agent: ${refusalOf(answer)}`)
  const membership = membershipOf(config.url, answer.value)
  await folder.writeMembership(membership)
  return membership
}

function refusalOf(answer: { kind: string; detail?: string }): string {
  return answer.detail || answer.kind
}

function membershipOf(url: string, answer: JoinAnswer): Membership {
  const { urls, jwt, tls } = answer.nats
  return {
    url,
    agent: answer.agent,
    key: answer.key,
    nats: { urls: [...urls], jwt, ...(tls?.ca === undefined ? {} : { tls: { ca: tls.ca } }) },
    leaseSeconds: answer.lease_seconds,
  }
}
