// What the jobs of a run are: small shell scripts that print numbered lines, each with a checksum and the marker of its
// job and tenant, so that a line that is missing, twice, elsewhere or another's shows wherever it is read. Pure.

import type { SubmitBody } from '../../shared/job-spec.ts'
import type { Seeded } from './seeded.ts'

export interface JobPlan {
  /** Unique in the run. */
  readonly tag: string
  readonly tenant: string
  readonly marker: string
  readonly pool: 'real' | 'quick'
  readonly lines: number
  readonly errLines: number
  /** Parts of the output, with a pause before each. */
  readonly parts: number
  readonly pauseSeconds: number
  readonly exit: 0 | 3
  /** It sleeps for ever, and its time-out ends it. */
  readonly timesOut: boolean
  readonly ignoresTerm: boolean
  readonly maxAttempts: number
  readonly lostAfterSeconds: number
  /** Cancelled by its submitter after so long; 0: not. */
  readonly cancelAfterMs: number
}

export interface Tenant {
  readonly name: string
  readonly key: string
  /** Printed by each of its jobs. */
  readonly marker: string
}

const SHAPES = { quick: 30, medium: 36, long: 18, slow: 12, timeout: 4, flood: 0.5 } as const
const REAL_SHARE = 0.12

export function planJob(random: Seeded, tenant: Pick<Tenant, 'name' | 'marker'>, number: number): JobPlan {
  const shape = random.weighted(SHAPES)
  const shapes = {
    quick: { lines: random.int(1, 20), parts: 1, pauseSeconds: 0 },
    medium: { lines: random.int(20, 300), parts: 3, pauseSeconds: random.between(0.05, 0.5) },
    long: { lines: random.int(500, 2000), parts: 5, pauseSeconds: random.between(0.1, 0.8) },
    slow: { lines: random.int(10, 60), parts: 6, pauseSeconds: random.between(0.8, 2) },
    timeout: { lines: random.int(1, 10), parts: 1, pauseSeconds: 0 },
    // More than the kernel and the relay hold for a client that does not read.
    flood: { lines: random.int(15_000, 25_000), parts: 2, pauseSeconds: 0.5 },
  }
  return {
    tag: `j${number}`,
    tenant: tenant.name,
    marker: tenant.marker,
    pool: random.chance(REAL_SHARE) ? 'real' : 'quick',
    ...shapes[shape],
    errLines: random.chance(0.2) ? random.int(1, 20) : 0,
    exit: random.chance(0.15) ? 3 : 0,
    timesOut: shape === 'timeout',
    ignoresTerm: random.chance(0.05),
    maxAttempts: random.chance(0.15) ? 1 : random.int(3, 5),
    // Most outlast every outage here, as ten minutes do in life; some do not, so that their containers must stop.
    lostAfterSeconds: random.chance(0.2) ? random.int(5, 8) : random.int(22, 30),
    cancelAfterMs: random.chance(0.08) ? random.int(1, 1500) : 0,
  }
}

export function bodyOf(plan: JobPlan): SubmitBody {
  const retries =
    plan.maxAttempts === 1
      ? {}
      : {
          retries: {
            max_attempts: plan.maxAttempts,
            on: ['agent_lost' as const, 'engine_lost' as const],
            backoff_seconds: 0,
          },
        }
  return {
    image: 'dray-busybox:latest',
    command: ['sh', '-c', scriptOf(plan)],
    parse_updates: false,
    network: 'none',
    pool: plan.pool,
    resources: { memory: '64m', cpus: 1 },
    stop_grace_seconds: 1,
    lost_after_seconds: plan.lostAfterSeconds,
    ...(plan.timesOut ? { timeout_seconds: 2 } : {}),
    labels: { tag: plan.tag },
    ...retries,
  }
}

export function lineOf(plan: Pick<JobPlan, 'tag' | 'marker'>, stream: 'out' | 'err', number: number): string {
  return `${stream} ${number} ${checksum(plan.tag, number)} ${plan.tag} ${plan.marker}`
}

/** Small enough for awk's doubles. */
function checksum(tag: string, number: number): number {
  return (number * 7919 + Number(tag.slice(1)) * 104_729) % 65_521
}

function scriptOf(plan: JobPlan): string {
  const print = (stream: 'out' | 'err', from: number, to: number): string => {
    const sum = `(k * 7919 + ${Number(plan.tag.slice(1))} * 104729) % 65521`
    return `awk 'BEGIN { for (k = ${from}; k <= ${to}; k++) printf "${stream} %d %d ${plan.tag} ${plan.marker}\\n", k, ${sum} }'`
  }
  const steps: string[] = plan.ignoresTerm ? ["trap '' TERM"] : []
  for (let part = 0; part < plan.parts; part += 1) {
    const from = Math.floor((plan.lines * part) / plan.parts) + 1
    const to = Math.floor((plan.lines * (part + 1)) / plan.parts)
    if (part > 0) steps.push(`sleep ${plan.pauseSeconds.toFixed(2)}`)
    steps.push(print('out', from, to))
  }
  if (plan.errLines > 0) steps.push(`${print('err', 1, plan.errLines)} >&2`)
  steps.push(plan.timesOut ? 'sleep 600' : `exit ${plan.exit}`)
  return steps.join('\n')
}
