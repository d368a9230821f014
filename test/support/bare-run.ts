// What a job's run is given where only its own decisions matter: a grant of little, and parts that do nothing of themselves.
import type { Grant, Resume } from '../../shared/agent-protocol.ts'
import { submitBodySchema } from '../../shared/job-spec.ts'
import type { JobDeps } from '../../runner-agent/job-context.ts'
import { createSemaphore } from '../../runner-agent/semaphore.ts'

export const NOTHING_STORED: Resume = { n: 0, stdout_lines: 0, stderr_lines: 0, subject_seq: 0, session: null }

export const BARE_GRANT: Grant = {
  spec: submitBodySchema.parse({ image: 'x' }),
  env: {},
  secrets: {},
  limits: { output_bytes: 1_000, line_bytes: 1_000 },
  gpus: [],
  lost_after_seconds: 600,
  cancel_requested: false,
  resume: NOTHING_STORED,
}

/** `parts`: as much of each as the run will use; its claim is granted, with what else `grant` says. */
export function bareDeps(parts: {
  engine: object
  openPublisher: (...given: never[]) => object
  finish: (...given: never[]) => unknown
  grant?: Partial<Grant>
}) {
  const { engine, openPublisher, finish, grant } = parts
  return {
    agentId: 'a1',
    session: 's1',
    bootId: 'b1',
    engine,
    controlPlane: { claim: async () => ({ kind: 'ok', value: { ...BARE_GRANT, ...grant } }), finish },
    policy: { defaults: { memory: 2 ** 28, cpus: 1 }, image: 'x', command: [], settings: {}, gpuSettings: {} },
    starts: createSemaphore(1),
    openPublisher,
    welcomed: Promise.resolve(),
    beat: () => 1,
    poke: () => undefined,
    onPulled: () => undefined,
    log: { info: () => undefined, warn: () => undefined, error: () => undefined },
  } as unknown as JobDeps
}
