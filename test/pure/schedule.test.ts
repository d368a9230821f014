// plan(): where jobs go, in which order, and what is said of those that wait.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { newJobState } from '../../shared/job-machine.ts'
import { effectiveLimits, submitBodySchema, type SubmitBody } from '../../shared/job-spec.ts'
import { compareQueued, gpuIds, plan, type PlanAgent, type PlanJob } from '../../shared/schedule.ts'

const GIB = 2 ** 30
const POLICY = { cpuOvercommit: 1 }
let made = 0

function job(body: SubmitBody = {}, createdAtMs = ++made): PlanJob {
  const spec = submitBodySchema.parse(body)
  return { state: newJobState('default', `j${++made}`, spec.retries), spec, createdAtMs }
}

function agent(id: string, more: Partial<PlanAgent> = {}, gpus = 0): PlanAgent {
  return {
    id,
    pool: 'default',
    labels: {},
    cordoned: false,
    draining: false,
    leaseExpired: false,
    held: [],
    capacity: {
      cpus: 4,
      memory: 8 * GIB,
      defaults: { memory: GIB, cpus: 1 },
      gpus: Array.from({ length: gpus }, (_, index) => ({ id: String(index), uuid: `GPU-${id}-${index}` })),
    },
    ...more,
  }
}

function placedOn(agentId: string, body: SubmitBody, gpus: readonly string[] = []): PlanJob {
  const one = job(body)
  const assignment = { agent: agentId, attempt: 1, gpus, session: null, claimBeat: 0, heldPhase: 'pulling' as const }
  return { ...one, state: { ...one.state, assignment } }
}

describe('plan()', () => {
  it('takes the higher priority first, then the older', () => {
    const [low, late, early, high] = [
      job({ priority: 'low' }, 1),
      job({}, 9),
      job({}, 5),
      job({ priority: 'high' }, 10),
    ]
    const order = plan({ queued: [low, late, early, high], agents: [agent('a1')], placed: [] }, POLICY).assignments.map(
      (one) => one.job,
    )
    expect(order).toEqual([high, early, late, low])
  })

  it('lets a smaller job pass one that does not fit', () => {
    const big = job({ resources: { memory: '8g' } }, 1)
    const small = job({ resources: { memory: '1g' } }, 2)
    const result = plan(
      { queued: [big, small], agents: [agent('a1')], placed: [placedOn('a1', { resources: { memory: '1g' } })] },
      POLICY,
    )
    expect(result.assignments.map((one) => one.job)).toEqual([small])
    expect(result.waiting[0]).toMatchObject({
      job: big,
      unsatisfiable: false,
      agents: [{ agent: 'a1', lacks: ['memory: needs 8g, 7g is free'] }],
    })
  })

  it('leases whole GPUs by UUID, each once', () => {
    const agents = [agent('a1', {}, 2)]
    const result = plan(
      {
        queued: [job({ resources: { gpus: 1 } }), job({ resources: { gpus: 1 } }), job({ resources: { gpus: 1 } })],
        agents,
        placed: [],
      },
      POLICY,
    )
    expect(result.assignments.flatMap((one) => one.gpus)).toEqual(['GPU-a1-0', 'GPU-a1-1'])
    expect(result.waiting[0]?.agents[0]?.lacks).toEqual(['gpus: needs 1, 0 is free'])
  })

  it('gives no GPU of an agent that holds a container which no row knows', () => {
    const held = [
      { tenant: 'default', job: 'gone', attempt: 1, phase: 'running' as const, n: 1, stdout_lines: 0, stderr_lines: 0 },
    ]
    const queued = [job({ resources: { gpus: 1 } })]
    expect(plan({ queued, agents: [agent('a1', { held }, 2)], placed: [] }, POLICY).assignments).toEqual([])
  })

  it('matches pool and agent labels', () => {
    const wants = job({ pool: 'gpu', agent_labels: { zone: 'b' } })
    const agents = [agent('a1'), agent('a2', { pool: 'gpu' }), agent('a3', { pool: 'gpu', labels: { zone: 'b' } })]
    expect(plan({ queued: [wants], agents, placed: [] }, POLICY).assignments[0]?.agent).toBe('a3')
    const { waiting } = plan({ queued: [wants], agents: agents.slice(0, 2), placed: [] }, POLICY)
    expect(waiting[0]).toMatchObject({
      unsatisfiable: true,
      agents: [{ agent: 'a2', lacks: ['label zone: needs "b", is not set'] }],
    })
  })

  it('gives nothing to an agent that is silent, cordoned or draining, and says so', () => {
    for (const [more, word] of [
      [{ leaseExpired: true }, 'silent'],
      [{ cordoned: true }, 'cordoned'],
      [{ draining: true }, 'draining'],
    ] as const) {
      const { assignments, waiting } = plan({ queued: [job()], agents: [agent('a1', more)], placed: [] }, POLICY)
      expect(assignments).toEqual([])
      expect(waiting[0]?.agents[0]?.lacks.join()).toContain(word)
      expect(waiting[0]?.unsatisfiable).toBe(false)
    }
  })

  it('calls a job unsatisfiable only when some agent has joined its pool', () => {
    const huge = job({ resources: { memory: '64g' } })
    expect(plan({ queued: [huge], agents: [], placed: [] }, POLICY).waiting[0]).toMatchObject({ unsatisfiable: false })
    expect(plan({ queued: [huge], agents: [agent('a1')], placed: [] }, POLICY).waiting[0]).toMatchObject({
      unsatisfiable: true,
    })
  })

  it('packs: prefers the agent that is left with least, and one that has the image', () => {
    const agents = [agent('a1'), agent('a2')]
    const placed = [placedOn('a2', { resources: { memory: '2g' } })]
    expect(plan({ queued: [job()], agents, placed }, POLICY).assignments[0]?.agent).toBe('a2')
    const withImage = agent('a1', { capacity: { ...agent('a1').capacity, images: ['x:1'] } })
    expect(
      plan({ queued: [job({ image: 'x:1' })], agents: [withImage, agent('a2')], placed }, POLICY).assignments[0]?.agent,
    ).toBe('a1')
  })

  it('never gives more than there is, never one GPU twice, and tells something of every job', () => {
    const body = fc.record({
      resources: fc.record({
        memory: fc.constantFrom('512m', '1g', '3g'),
        cpus: fc.constantFrom(0.5, 1, 2),
        gpus: fc.integer({ min: 0, max: 3 }),
      }),
      priority: fc.constantFrom('high' as const, 'normal' as const, 'low' as const),
    })
    fc.assert(
      fc.property(fc.array(body, { maxLength: 30 }), fc.integer({ min: 0, max: 4 }), (bodies, gpus) => {
        const queued = bodies.map((one) => job(one))
        const agents = [agent('a1', {}, gpus), agent('a2', {}, 1)]
        const result = plan({ queued, agents, placed: [] }, POLICY)
        expect(result.assignments.length + result.waiting.length).toBe(queued.length)
        for (const place of agents) {
          const here = result.assignments.filter((one) => one.agent === place.id)
          const limits = here.map((one) => effectiveLimits(one.job.spec, place.capacity.defaults))
          const total = (pick: (limit: (typeof limits)[number]) => number): number =>
            limits.reduce((sum, limit) => sum + pick(limit), 0)
          expect(total((limit) => limit.memory)).toBeLessThanOrEqual(place.capacity.memory)
          expect(total((limit) => limit.cpus)).toBeLessThanOrEqual(place.capacity.cpus)
          const given = here.flatMap((one) => one.gpus)
          expect(new Set(given).size).toBe(given.length)
          expect(given.every((id) => gpuIds(place.capacity).includes(id))).toBe(true)
        }
        const order = result.assignments.map((one) => one.job)
        expect(order).toEqual(order.toSorted(compareQueued))
      }),
      { numRuns: 500 },
    )
  })
})
