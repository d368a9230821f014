// The folder that makes an agent the same agent after a restart: its nkey seed, what it was given when it joined, and the
// name of its newest process. Nothing about jobs is in it. Promises: only its owner can read it;
// one process holds it at a time, by a lock that the kernel drops with the process, however that ends; a file in it is
// whole or absent.
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { createUser } from '@nats-io/nkeys'
import { z } from 'zod'
import { newSession } from '../shared/session-name.ts'

const membershipSchema = z.object({
  /** The control plane that this membership is of. */
  url: z.string(),
  agent: z.string(),
  key: z.string(),
  nats: z.object({
    urls: z.array(z.string()),
    jwt: z.string(),
    tls: z.object({ ca: z.string().optional() }).optional(),
  }),
  leaseSeconds: z.number(),
})

/** What joining gave. */
export type Membership = z.infer<typeof membershipSchema>

export interface StateFolder {
  readonly seed: Uint8Array
  /** Null before the first join. */
  readMembership(): Promise<Membership | null>
  writeMembership(membership: Membership): Promise<void>
  /** The name of the process that begins now: later than all before it. */
  nextSession(): Promise<string>
  /** Lets the next process in. */
  release(): Promise<void>
}

export class StateFolderHeld extends Error {
  override readonly name = 'StateFolderHeld'
}

const SEED_FILE = 'agent.nk'
const MEMBERSHIP_FILE = 'membership.json'
const SESSION_FILE = 'session'

export async function openStateFolder(dir: string): Promise<StateFolder> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  await chmod(dir, 0o700)
  const lock = await takeLock(dir)
  try {
    const seed = await readOrMakeSeed(path.join(dir, SEED_FILE))
    const membershipFile = path.join(dir, MEMBERSHIP_FILE)
    return {
      seed,
      readMembership: () => readMembership(membershipFile),
      writeMembership: (membership) => writeWhole(membershipFile, JSON.stringify(membership)),
      nextSession: () => nextSession(path.join(dir, SESSION_FILE)),
      release: () => closeServer(lock),
    }
  } catch (error) {
    await closeServer(lock)
    throw error
  }
}

async function readOrMakeSeed(file: string): Promise<Uint8Array> {
  const text = await readIfThere(file)
  if (text !== undefined) return new TextEncoder().encode(text.trim())
  const seed = createUser().getSeed()
  await writeWhole(file, new TextDecoder().decode(seed))
  return seed
}

async function nextSession(file: string): Promise<string> {
  const session = newSession((await readIfThere(file)) ?? null, Date.now())
  await writeWhole(file, session)
  return session
}

async function readMembership(file: string): Promise<Membership | null> {
  const text = await readIfThere(file)
  if (text === undefined) return null
  const parsed = membershipSchema.safeParse(JSON.parse(text))
  if (parsed.success) return parsed.data
  throw new Error(
    `Cannot use "${file}": it was not written by this version. Remove it and join again with a join token.`,
  )
}

/** A file that is cut off by a crash is never read: the new one takes the old one's place in one step. */
async function writeWhole(file: string, text: string): Promise<void> {
  const next = `${file}.${randomBytes(6).toString('hex')}`
  await writeFile(next, text, { mode: 0o600, flag: 'wx' })
  await rename(next, file)
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/**
 * A listening socket is a lock that dies with its process. On Linux its name is not in the file system (a leading NUL),
 * so no stale file stays behind; elsewhere a leftover file is told from a live one by connecting.
 */
async function takeLock(dir: string): Promise<net.Server> {
  const { dev, ino } = await stat(dir)
  const name = `dray-agent-${dev}-${ino}`
  const linux = process.platform === 'linux'
  const address = linux ? `\0${name}` : path.join(os.tmpdir(), name)
  const held = new StateFolderHeld(
    `Cannot use state folder "${dir}": another agent process holds it. Stop that one, or give this one its own --state.`,
  )
  try {
    return await listen(address)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    if (linux || (await answers(address))) throw held
  }
  await rm(address, { force: true })
  return listen(address)
}

function listen(address: string): Promise<net.Server> {
  const server = net.createServer((socket) => socket.destroy())
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(address, () => {
      // The lock must not keep a process alive that has nothing else to do.
      server.unref()
      resolve(server)
    })
  })
}

function answers(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(address)
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('close', () => socket.destroy())
  })
}

function closeServer(server: net.Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
  })
}
