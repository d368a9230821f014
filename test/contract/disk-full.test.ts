// The disk of the database is full: new work is refused before anything is promised, what is there is served, and with
// room again everything goes on without a restart. The disk is a small tmpfs in a mount namespace of the process's own.
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { createClient } from '../../shared/client/create-client.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../../deploy/free-port.ts'
import { manageProcess } from '../support/managed-process.ts'

const ENTRY = path.join(import.meta.dirname, '../../control-plane/entry/node.ts')
const run = promisify(execFile)
const MOUNT_THEN = 'mount -t tmpfs -o size=12m dray "$0" && exec "$@"'

it('a full disk: submits are refused with 503, nothing that was promised is lost, and room again is enough', async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'dray-full-'))
  const port = await freePort()
  const token = `dray_${'f'.repeat(43)}`
  const child = manageProcess({
    name: 'control plane',
    command: 'unshare',
    args: ['--mount', '--propagation', 'private', 'sh', '-c', MOUNT_THEN, dir, process.execPath, ENTRY],
    env: {
      PATH: process.env['PATH'] ?? '',
      DRAY_PORT: String(port),
      DRAY_STATE_DIR: dir,
      DRAY_NATS_URLS: 'nats://127.0.0.1:1',
      DRAY_ADMIN_TOKEN: token,
      DRAY_LOG_LEVEL: 'error',
    },
  })
  child.start()
  const inside = (script: string): Promise<unknown> =>
    run('nsenter', [`--mount=/proc/${child.pid}/ns/mnt`, 'sh', '-c', script, dir])
  const client = createClient({ url: `http://127.0.0.1:${port}`, token })
  const submit = async (): Promise<string> =>
    (await client.submit({ image: 'x', env: { FILL: 'x'.repeat(50_000) } })).id
  try {
    const accepted = [await eventually(submit, { deadlineMs: 15_000, what: child.output() })]
    await inside('head -c 64m /dev/zero > "$0/filler" || true')
    // The log has some room of its own left in the last page.
    const refused = await eventually(
      async () => {
        try {
          accepted.push(await submit())
        } catch (error) {
          return error
        }
        throw new Error('there is still room')
      },
      { deadlineMs: 10_000 },
    )
    expect(refused).toMatchObject({ status: 503, code: 'unavailable' })
    for (const id of accepted) expect((await client.show(id)).phase).toBe('queued')
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200)
    await inside('rm "$0/filler"')
    accepted.push(await eventually(submit, { deadlineMs: 10_000, what: 'it takes jobs again' }))
    expect((await client.list({ limit: 500 })).items.map(({ id }) => id).toSorted()).toEqual(accepted.toSorted())
    expect(child.pid).toBeDefined()
  } finally {
    await child.stop('SIGTERM')
    await rm(dir, { recursive: true, force: true })
  }
})
