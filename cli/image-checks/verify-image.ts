// The three things that an image needs to run workflows, checked by trying them (docs/container-images.md says the same
// in words): the program `nodetool`, its flag `--jsonl`, and a small workflow that comes to its end.

import { encodeRequest, type RunJobRequest } from '../../shared/nodetool.ts'
import { imageId } from '../../deploy/engine-api.ts'
import { runContainer, type ShortRunResult } from './run-container.ts'

export interface ImageCheck {
  readonly what: string
  readonly ok: boolean
  /** What to do when it is not ok. */
  readonly advice: string
}

const timeoutMs = 60_000
const run = ['nodetool', 'run', '--stdin', '--jsonl']

/** The rest is not tried once the image or its program is missing. */
export async function verifyImage(socketPath: string, image: string, request: RunJobRequest): Promise<ImageCheck[]> {
  const there = (await imageId(socketPath, image)) !== undefined
  const present = {
    what: `image ${image} is on this engine`,
    ok: there,
    advice: `docker pull ${image}, or build it with this name`,
  }
  if (!there) return [present]
  const which = await tryRun(socketPath, { image, entrypoint: ['which'], command: ['nodetool'], timeoutMs })
  const program = {
    what: 'program nodetool is on its PATH',
    ok: which.exitCode === 0,
    advice: 'install nodetool-core (0.6, which has "nodetool run") and its node packages in the image',
  }
  if (!program.ok) return [present, program]
  const help = await tryRun(socketPath, { image, entrypoint: ['nodetool'], command: ['run', '--help'], timeoutMs })
  const simple = await tryRun(socketPath, { image, command: run, stdin: encodeRequest(request), timeoutMs })
  return [present, program, ...flagChecks(help), runCheck(simple)]
}

function flagChecks(help: ShortRunResult): ImageCheck[] {
  const text = help.stdout + help.stderr
  return [
    {
      what: 'nodetool run has --jsonl',
      ok: text.includes('--jsonl'),
      advice: 'take a newer nodetool-core: without --jsonl it prints no updates',
    },
    {
      what: 'nodetool run has --show-node-updates',
      ok: text.includes('--show-node-updates'),
      advice:
        'set DOCKER_COMMAND="nodetool run --stdin --jsonl" on the agents of this image; it prints no node_update then',
    },
  ]
}

function runCheck(result: ShortRunResult): ImageCheck {
  const completed = result.stdout.split('\n').some(isCompleted)
  const lastWords = result.stderr.trim().split('\n').slice(-3).join(' | ')
  return {
    what: 'a simple workflow comes to its end',
    ok: completed && result.exitCode === 0,
    advice: `exit code ${result.exitCode}, ${completed ? 'completed' : 'no completed job_update'}${lastWords ? `; stderr ends: ${lastWords}` : ''}`,
  }
}

function isCompleted(line: string): boolean {
  try {
    const update = JSON.parse(line) as { type?: unknown; status?: unknown } | null
    return update?.type === 'job_update' && update.status === 'completed'
  } catch {
    // Not an update: images may print anything.
    return false
  }
}

/** A container that cannot even start is a failed check, not a failure of ours. */
async function tryRun(socketPath: string, options: Parameters<typeof runContainer>[1]): Promise<ShortRunResult> {
  return runContainer(socketPath, options).catch((error: unknown) => ({
    exitCode: 127,
    stdout: '',
    stderr: (error as Error).message,
  }))
}
