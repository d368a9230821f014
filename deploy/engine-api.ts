// The few calls to a Docker engine that set-up needs, over plain HTTP on its Unix socket.
//
// Promises that every call ends: each has a deadline, and a connection that breaks rejects. Set-up uses this instead of
// dockerode because it runs before a job exists and must tell "no engine" (refused, absent, silent) from "engine says no".
// It does not attach to containers; the agent's own engine folder does that.

import http from 'node:http'
import type { Readable } from 'node:stream'

export interface EngineAnswer {
  status: number
  body: string
}

export interface EngineCall {
  method?: 'GET' | 'POST' | 'DELETE'
  body?: Readable | string
  contentType?: string
  deadlineMs?: number
}

/** Sends one request and returns the whole answer. Rejects only when no answer came; a status of 4xx or 5xx is an answer. */
export function callEngine(socketPath: string, path: string, call: EngineCall = {}): Promise<EngineAnswer> {
  const { method = 'GET', body, contentType = 'application/json', deadlineMs = 10_000 } = call
  return new Promise((resolve, reject) => {
    const request = http.request(
      {
        socketPath,
        path,
        method,
        // The engine refuses a Host that is not plain; the socket path would be sent otherwise.
        headers: { Host: 'docker', ...(body === undefined ? {} : { 'Content-Type': contentType }) },
        signal: AbortSignal.timeout(deadlineMs),
        agent: false,
      },
      (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (part: string) => (text += part))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
        response.on('error', reject)
      },
    )
    request.on('error', reject)
    if (body === undefined || typeof body === 'string') request.end(body)
    else {
      body.on('error', (error) => request.destroy(error))
      body.pipe(request)
    }
  })
}

/** True when an engine answers on this socket. */
export async function engineAnswers(socketPath: string, deadlineMs = 2_000): Promise<boolean> {
  try {
    return (await callEngine(socketPath, '/_ping', { deadlineMs })).status === 200
  } catch {
    // Absent, refused, not permitted and silent all mean the same here: nothing to use.
    return false
  }
}

/** The socket of the engine that `DOCKER_HOST` names, which must answer, or of one at the usual places, if any does. */
export async function findEngine(env: Record<string, string | undefined>): Promise<string | undefined> {
  const wanted = env['DOCKER_HOST']
  if (wanted) {
    const socketPath = wanted.replace(/^unix:\/\//, '')
    if (socketPath.startsWith('/') && (await engineAnswers(socketPath))) return socketPath
    throw new Error(
      `No Docker engine answers at DOCKER_HOST "${wanted}". Start it, or unset DOCKER_HOST (unix:// only).`,
    )
  }
  for (const socketPath of usualPlaces(env)) if (await engineAnswers(socketPath)) return socketPath
  return undefined
}

/** Force-removes every container that carries the label; returns how many there were. */
export async function removeContainers(socketPath: string, label?: string): Promise<number> {
  const filters = label === undefined ? '' : `&filters=${encodeURIComponent(JSON.stringify({ label: [label] }))}`
  const list = await callEngine(socketPath, `/containers/json?all=1${filters}`)
  const found = JSON.parse(list.body) as { Id: string }[]
  for (const { Id } of found) {
    await callEngine(socketPath, `/containers/${Id}?force=1&v=1`, { method: 'DELETE', deadlineMs: 20_000 })
  }
  return found.length
}

/** The id behind a name, or undefined when the engine has no such image. */
export async function imageId(socketPath: string, name: string): Promise<string | undefined> {
  const answer = await callEngine(socketPath, `/images/${encodeURIComponent(name)}/json`)
  return answer.status === 200 ? (JSON.parse(answer.body) as { Id: string }).Id : undefined
}

function* usualPlaces(env: Record<string, string | undefined>): Generator<string> {
  yield '/var/run/docker.sock'
  if (env['XDG_RUNTIME_DIR']) yield `${env['XDG_RUNTIME_DIR']}/docker.sock`
  if (env['HOME']) yield `${env['HOME']}/.docker/run/docker.sock`
}
