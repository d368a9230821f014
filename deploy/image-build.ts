// Builds our images from a registry, where they cannot be packed: another operating system or another architecture.
//
// The context is the workflow-image folder; the Dockerfile's base is pulled by the engine. Ids differ from build to
// build, so an existing image is kept as long as its label names the same sources.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { callEngine, imageId, type EngineAnswer } from './engine-api.ts'
import { imageSourceDir, nodetoolFiles } from './image-files.ts'
import { tarBytes } from './image-tar.ts'

const buildDeadlineMs = 300_000

export async function buildFromRegistry({ socketPath }: { socketPath: string }, obstacle: string) {
  const names = ['Dockerfile', ...nodetoolFiles()]
  const texts = names.map((name) => readFileSync(join(imageSourceDir, name), 'utf8'))
  const sources = createHash('sha256').update(texts.join('\0')).digest('hex').slice(0, 12)
  const tag = `dray-workflow:${sources}`
  let how = 'found'
  if ((await imageId(socketPath, tag)) === undefined) {
    how = `built from deploy/workflow-image/Dockerfile, because ${obstacle}`
    const context = names.map((path, at) => ({ path, kind: 'file' as const, content: texts[at]! }))
    const body = Readable.from(tarBytes(context), { objectMode: false })
    const query = `t=${encodeURIComponent(tag)}&t=${encodeURIComponent('dray-workflow:latest')}&rm=1`
    const call = { method: 'POST', body, contentType: 'application/x-tar', deadlineMs: buildDeadlineMs } as const
    refuseErrors(await callEngine(socketPath, `/build?${query}`, call), obstacle)
  }
  if ((await imageId(socketPath, 'dray-busybox:latest')) === undefined) {
    const pull = { method: 'POST', deadlineMs: buildDeadlineMs } as const
    refuseErrors(await callEngine(socketPath, '/images/create?fromImage=busybox&tag=stable', pull), obstacle)
    await callEngine(socketPath, '/images/busybox:stable/tag?repo=dray-busybox&tag=latest', { method: 'POST' })
  }
  const [workflowId, busyboxId] = await Promise.all([
    imageId(socketPath, tag),
    imageId(socketPath, 'dray-busybox:latest'),
  ])
  if (workflowId === undefined || busyboxId === undefined) throw new Error('The engine built no image')
  return { workflowId, busyboxId, how }
}

/** Build and pull answer 200 and put an error, if any, into the stream of lines. */
function refuseErrors(answer: EngineAnswer, obstacle: string): void {
  if (answer.status === 200 && !answer.body.includes('"error"')) return
  const last = answer.body.trim().split('\n').at(-1) ?? ''
  throw new Error(`Cannot build our images from a registry: ${last}\nThey were not packed, because ${obstacle}.`)
}
