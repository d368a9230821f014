// Makes sure that a job's image is on this machine, and says which one it is: a tag may move, the digest may not.
// A pull ends when its signal aborts (the engine drops it with the connection), reports its progress at most twice a
// second, and is tried again when the registry could not be reached.

import { createLineSplitter, decodeUtf8 } from '../../shared/json-lines.ts'
import { classifyFailure } from './classify.ts'
import type { Engine, ImageInspection } from './engine-client.ts'
import { EngineError, isEngineError } from './engine-error.ts'
import { parseImageName } from './image-name.ts'
import { pause } from './pause.ts'
import { createPullAccount, type PullProgress } from './pull-progress.ts'
import { lossOf, openResponse, type EngineCall } from './raw-http.ts'
import { registryLogin } from './registry-login.ts'

export type PullPolicy = 'missing' | 'always' | 'never'

export type EnsureImageOptions = {
  engine: Engine
  image: string
  pull: PullPolicy
  onProgress?: ((progress: PullProgress) => void) | undefined
  signal: AbortSignal
}

export type EnsuredImage = {
  /** The engine's id of the image on this machine. */
  id: string
  /** The registry's digest, or the id where the image never came from a registry. */
  digest: string
  pulled: boolean
}

const PULL_TRIES = 3
const TRY_AGAIN_MS = 1000
const PROGRESS_EVERY_MS = 500
const MAX_PROGRESS_LINE_BYTES = 256 * 1024

export const ensureImage = async (options: EnsureImageOptions): Promise<EnsuredImage> => {
  const { engine, image, pull, signal } = options
  if (pull !== 'always') {
    const present = await inspectIfPresent(engine, image, signal)
    if (present !== undefined) return { ...identityOf(image, present), pulled: false }
    if (pull === 'never') throw missingAndMayNotPull(image)
  }
  await pullWithRetries(options)
  return { ...identityOf(image, await engine.inspectImage(image, signal)), pulled: true }
}

const inspectIfPresent = async (
  engine: Engine,
  image: string,
  signal: AbortSignal,
): Promise<ImageInspection | undefined> => {
  try {
    return await engine.inspectImage(image, signal)
  } catch (error) {
    if (isEngineError(error, 'image_missing')) return undefined
    throw error
  }
}

const identityOf = (
  image: string,
  { Id: id, RepoDigests: digests }: ImageInspection,
): { id: string; digest: string } => {
  const { repository } = parseImageName(image)
  const own = digests?.find((digest) => digest.startsWith(`${repository}@`)) ?? digests?.[0]
  return { id, digest: own?.slice(own.indexOf('@') + 1) ?? id }
}

const missingAndMayNotPull = (image: string): EngineError =>
  new EngineError({
    kind: 'image_missing',
    code: 'image_not_found',
    message: `Image "${image}" is not on this machine, and the job forbids pulling it.`,
    hint: 'Put the image on the machine, or allow the pull (pull: "missing").',
    transient: false,
  })

const pullWithRetries = async (options: EnsureImageOptions): Promise<void> => {
  // Ends with a pull, with an error that trying again cannot mend, or after PULL_TRIES.
  for (let tries = 1; ; tries += 1) {
    try {
      return await pullOnce(options)
    } catch (error) {
      if (!isEngineError(error, 'pull_failed') || !error.transient || tries === PULL_TRIES) throw error
    }
    await pause(TRY_AGAIN_MS * tries, options.signal)
  }
}

const pullOnce = async ({ engine, image, onProgress, signal }: EnsureImageOptions): Promise<void> => {
  const { repository, tag, registry } = parseImageName(image)
  const login = await registryLogin(registry)
  const wanted = new URLSearchParams({ fromImage: repository, tag })
  const call: EngineCall = {
    socketPath: engine.socketPath,
    method: 'POST',
    path: `/images/create?${wanted.toString()}`,
    headers: { 'Content-Length': '0', ...(login === undefined ? {} : { 'X-Registry-Auth': login }) },
    action: 'pull image',
    subject: image,
    // The headers come with the registry's first answer.
    headersTimeoutMs: 120_000,
    signal,
  }
  const error = await readPull(call, onProgress)
  if (error === undefined) return
  throw new EngineError(classifyFailure({ action: call.action, subject: image, status: 500, message: error }))
}

/** Reads the stream to its end; returns the failure that the engine reports in it. */
const readPull = async (
  call: EngineCall,
  onProgress: EnsureImageOptions['onProgress'],
): Promise<string | undefined> => {
  const response = await openResponse(call)
  const account = createPullAccount()
  const onLine = ({ bytes }: { bytes: Uint8Array }): void => account.add(parseLine(decodeUtf8(bytes).text))
  const splitter = createLineSplitter({ maxLineBytes: MAX_PROGRESS_LINE_BYTES, onLine })
  let reportedAt = -PROGRESS_EVERY_MS
  try {
    for await (const chunk of response) {
      splitter.push(chunk as Uint8Array)
      if (performance.now() - reportedAt < PROGRESS_EVERY_MS) continue
      reportedAt = performance.now()
      onProgress?.(account.progress())
    }
  } catch (error) {
    throw lossOf(call, error)
  } finally {
    response.destroy()
  }
  splitter.end()
  if (account.error() === undefined) onProgress?.(account.progress())
  return account.error()
}

const parseLine = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    // A progress line that is no JSON says nothing; whether the image came is decided by looking for it.
    return undefined
  }
}
