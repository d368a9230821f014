// Waiting for a container's end. Our own, because dockerode's wait never settles when the engine dies after it sent the
// headers. This one settles always: the exit code, an EngineError (engine_away when the engine went, container_missing
// when somebody removed the container), or the caller's abort reason.
//
// Call it after start has answered: before, the engine takes "not running" as already true and answers 0 at once.

import { classifyFailure } from './classify.ts'
import { EngineError } from './engine-error.ts'
import { openResponse, readBody, type EngineCall } from './raw-http.ts'

const MAX_ANSWER_BYTES = 64 * 1024

export const waitForExit = async (options: {
  socketPath: string
  id: string
  signal?: AbortSignal | undefined
}): Promise<{ exitCode: number }> => {
  const call: EngineCall = {
    socketPath: options.socketPath,
    method: 'POST',
    path: `/containers/${options.id}/wait?condition=not-running`,
    headers: { 'Content-Length': '0' },
    action: 'wait for container',
    subject: options.id,
    signal: options.signal,
  }
  const answer = await readBody(call, await openResponse(call), MAX_ANSWER_BYTES)
  const exitCode = exitCodeIn(answer)
  if (exitCode !== undefined) return { exitCode }
  const { action, subject } = call
  throw new EngineError(
    classifyFailure({ action, subject, errno: 'EPROTO', message: `it answered "${answer.slice(0, 200)}"` }),
  )
}

// A shutting-down engine ends the body early, at a clean chunk border: then there is no JSON in it.
const exitCodeIn = (answer: string): number | undefined => {
  try {
    const { StatusCode: code } = JSON.parse(answer) as { StatusCode?: unknown }
    return typeof code === 'number' ? code : undefined
  } catch {
    return undefined
  }
}
