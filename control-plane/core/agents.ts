// Portable: Web APIs only.
//
// What operators do with the fleet: list, show, cordon, uncordon, drain, delete.
import { AppError } from '../../shared/errors.ts'
import type { AgentView } from '../../shared/fleet.ts'
import { effectiveLimits } from '../../shared/job-spec.ts'
import type { PlanJob } from '../../shared/schedule.ts'
import type { CoreContext } from './deps.ts'
import type { AgentRecord, Page } from './ports.ts'

export async function listAgents(
  core: CoreContext,
  page: { limit: number; cursor: string | null },
): Promise<Page<AgentView>> {
  const [agents, view] = await Promise.all([core.store.listAgents(page), core.store.readScheduleView(1)])
  return { items: agents.items.map((agent) => agentView(agent, view.placed)), cursor: agents.cursor }
}

export async function showAgent(core: CoreContext, id: string): Promise<AgentView> {
  const [agent, jobs] = await Promise.all([core.store.readAgent(id), core.store.jobsOnAgent(id)])
  if (!agent) throw notFound(id)
  return agentView(agent, jobs)
}

const FLAGS = {
  cordon: { cordoned: true },
  uncordon: { cordoned: false, draining: false },
  drain: { draining: true },
} as const

export async function setAgent(core: CoreContext, id: string, action: keyof typeof FLAGS): Promise<AgentView> {
  const agent = await core.store.setAgentFlags(id, FLAGS[action])
  if (!agent) throw notFound(id)
  core.pokeScheduler()
  return agentView(agent, await core.store.jobsOnAgent(id))
}

/** Its key ends with the row, its NATS access with the revocation; what it held lapses with the next sweep. */
export async function deleteAgent(core: CoreContext, id: string): Promise<void> {
  const agent = await core.store.readAgent(id)
  if (!agent || !(await core.store.deleteAgent(id))) throw notFound(id)
  await core.bus.revokeAgent(agent.nkey)
}

function agentView(agent: AgentRecord, jobs: readonly PlanJob[]): AgentView {
  const mine = jobs.filter(({ state }) => state.assignment?.agent === agent.id)
  const limits = mine.map(({ spec }) => effectiveLimits(spec, agent.capacity.defaults))
  const { cpus, memory, disk, gpus } = agent.capacity
  return {
    id: agent.id,
    name: agent.name,
    pool: agent.pool,
    labels: agent.labels,
    state: stateOf(agent),
    version: agent.version,
    protocol: agent.protocol,
    capacity: { cpus, memory, disk, gpus },
    used: {
      cpus: limits.reduce((total, limit) => total + limit.cpus, 0),
      memory: limits.reduce((total, limit) => total + limit.memory, 0),
      gpus: mine.flatMap(({ state }) => state.assignment?.gpus ?? []),
    },
    running: mine.map(({ state }) => ({
      tenant: state.tenant,
      job: state.id,
      attempt: state.assignment?.attempt ?? state.attempt,
    })),
    posture: agent.posture,
    last_seen_at: agent.lastSeenAtMs === null ? undefined : new Date(agent.lastSeenAtMs).toISOString(),
  }
}

function stateOf(agent: AgentRecord): AgentView['state'] {
  if (agent.leaseExpired) return 'lost'
  if (agent.draining) return 'draining'
  return agent.cordoned ? 'cordoned' : 'ready'
}

function notFound(id: string): AppError {
  return new AppError('not_found', `Agent "${id}" does not exist.`)
}
