// The identity as one JSON file, mode 0600 (Node and Deno only). Created once and complete: two processes that start at
// the same time on an empty folder end with the same identity, and a crash leaves either no file or a whole one.
import { randomUUID } from 'node:crypto'
import { chmod, link, mkdir, open, readFile, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { createIdentity, type NatsIdentity } from './nats-identity.ts'

/** Reads the identity, or makes one where there is none. */
export async function loadOrCreateIdentity(path: string): Promise<NatsIdentity> {
  const present = await loadIdentity(path)
  if (present) return present
  await saveIdentity(path, await createIdentity())
  const saved = await loadIdentity(path)
  if (!saved) throw new Error(`The NATS identity "${path}" vanished while it was being written`)
  return saved
}

/** Writes the identity unless there is one already: an identity is never replaced, every agent hangs on it. */
export async function saveIdentity(path: string, identity: NatsIdentity): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const draft = `${path}.${randomUUID()}`
  const file = await open(draft, 'wx', 0o600)
  try {
    await file.writeFile(`${JSON.stringify(identity, null, 2)}\n`)
    await file.sync()
    await link(draft, path)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  } finally {
    await file.close()
    await rm(draft, { force: true })
  }
}

async function loadIdentity(path: string): Promise<NatsIdentity | null> {
  try {
    // It may have been restored from a backup with the usual mode. One that is close enough may lie on a read-only mount.
    if (((await stat(path)).mode & 0o077) !== 0) await chmod(path, 0o600)
    return parseIdentity(await readFile(path, 'utf8'))
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    throw new Error(`Cannot read the NATS identity "${path}"`, { cause: error })
  }
}

/** Never quotes the text. */
function parseIdentity(text: string): NatsIdentity {
  const identity = JSON.parse(text) as NatsIdentity
  const wanted = [
    identity.operator?.seed,
    identity.accounts?.system?.jwt,
    identity.accounts?.controlPlane?.jwt,
    identity.accounts?.agents?.jwt,
    identity.agentSigner?.seed,
    identity.controlPlaneUser?.jwt,
    identity.systemUser?.jwt,
  ]
  if (identity.version !== 1 || wanted.some((part) => typeof part !== 'string'))
    throw new Error('It is not a NATS identity of version 1')
  return identity
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code
}
