// What somebody in some region may rely on whatever replicas there are: a job that was accepted is there for every call of
// anybody, a new key is valid, one that was deleted is not. Each probe asks control planes as clients do, until there is
// an answer.
import { AppError } from '../../shared/errors.ts'
import { isTerminal } from '../../shared/job.ts'
import { ask, TENANT, type ClientWorld } from './client.ts'

const LOOKS = 2
const LIST_AGAIN_MS = 50
const ALL_JOBS = { tenant: TENANT, statuses: [], label: null, pool: null, limit: 100, cursor: null } as const

/** Right after its 201; `isCancelled`: right after the 202 of a cancel. */
export async function probeJob(world: ClientWorld, job: string, isCancelled = false): Promise<void> {
  for (let look = 0; look < LOOKS; look += 1) {
    try {
      const { cancel_requested, status } = await ask(world, ({ core }) => core.showJob({ tenant: TENANT, job }))
      if (isCancelled && !cancel_requested && !isTerminal(status))
        world.history.violated('other', `${job}: its cancel was answered, and then it is shown without one`)
    } catch (error) {
      const code = error instanceof AppError ? error.code : String(error)
      world.history.violated('lost', `${job}: accepted, and then shown as ${code}`)
    }
  }
}

/** Bounded by the replica's standstill. */
export async function untilListed(world: ClientWorld, job: string): Promise<void> {
  for (;;) {
    const { items } = await ask(world, ({ core }) => core.listJobs(ALL_JOBS))
    if (items.some(({ id }) => id === job)) return
    await new Promise<void>((resolve) => setTimeout(resolve, LIST_AGAIN_MS))
  }
}

/** A key from its making to after its end. */
export async function probeKey(world: ClientWorld): Promise<void> {
  const { history, random } = world
  const isKnown = (id: string): Promise<boolean> =>
    ask(world, async ({ store }) => (await store.keyByHash(`hash-${id}`)) !== null)
  const id = await ask(world, async ({ store }) => {
    // Each try makes its own, as POST /v1/keys does: one that comes late makes none of the others valid again.
    const fresh = `probe-${random.int(2 ** 31)}`
    const record = { id: fresh, tenant: TENANT, role: 'tenant', name: null, createdAtMs: 0, expiresAtMs: null } as const
    await store.createKey(record, `hash-${fresh}`)
    return fresh
  })
  if (!(await isKnown(id))) history.violated('other', 'a key that was just made is refused')
  await ask(world, ({ store }) => store.deleteKey(id))
  if (await isKnown(id)) history.violated('other', 'a key that was deleted is still accepted')
}
