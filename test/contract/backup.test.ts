// backUp() and restore() on files: a copy of one moment while writers write, never half a file, never over another one; a
// restore only where nobody has the database open, with the numbers of lost attempts skipped.
import { readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { backUp } from '../../control-plane/store/backup.ts'
import { restore } from '../../control-plane/store/restore.ts'
import type { JobStore } from '../../control-plane/core/ports.ts'
import { cliEnv, runCli } from '../support/cli-process.ts'
import { makeDatabaseFolder, type DatabaseFolder } from '../support/database-folder.ts'
import {
  assigned,
  beat,
  claimed,
  finished,
  liveAgent,
  move,
  newJob,
  read,
  runOn,
  submit,
} from './job-store.fixtures.ts'

let folder: DatabaseFolder
let store: JobStore
beforeEach(async () => {
  folder = await makeDatabaseFolder()
  store = await folder.open('dray.db')
})
afterEach(async () => {
  await store.close()
  await folder.remove()
})

const backup = (file = 'copy', force = false) =>
  backUp({ url: folder.urlOf('dray.db'), file: folder.inside(file), force })
const restoreTo = (name: string, file = 'copy', force = false) =>
  restore({ url: folder.urlOf(name), file: folder.inside(file), force })

describe('a backup', () => {
  it('is one moment of a database that is being written, and readable by its owner only', async () => {
    let stopped = false
    const numbers: number[] = []
    const writing = (async () => {
      for (let number = 0; !stopped; number++) {
        await submit(store, {}, { id: `job-${number}` })
        numbers.push(number)
      }
    })()
    const before = numbers.length
    const copied = await backup()
    const after = numbers.length
    stopped = true
    await writing
    expect(copied.liveJobs).toBeGreaterThanOrEqual(before)
    expect(copied.liveJobs).toBeLessThanOrEqual(after + 1)
    expect((await stat(folder.inside('copy'))).mode & 0o777).toBe(0o600)
    // Job by job, what had been answered before is in it, without a hole.
    const copy = await folder.open('copy')
    for (let number = 0; number < copied.liveJobs; number++)
      expect(await copy.readJob({ tenant: 'acme', job: `job-${number}` })).not.toBeNull()
    await copy.close()
    expect((await readdir(folder.dir)).filter((name) => name.includes('partial'))).toEqual([])
  })

  it('never replaces a file unless it is told to', async () => {
    await writeFile(folder.inside('copy'), 'precious')
    await expect(backup()).rejects.toMatchObject({ code: 'conflict' })
    expect(await readFile(folder.inside('copy'), 'utf8')).toBe('precious')
    await backup('copy', true)
    expect((await readFile(folder.inside('copy'), 'latin1')).startsWith('SQLite format 3')).toBe(true)
  })

  it('leaves nothing behind where it fails, and refuses a server', async () => {
    await expect(backup('no-folder/copy')).rejects.toThrow(/no-folder/)
    await expect(backUp({ url: 'http://127.0.0.1:1', file: folder.inside('x'), force: false })).rejects.toMatchObject({
      code: 'bad_request',
    })
    await expect(backUp({ url: folder.urlOf('none.db'), file: folder.inside('x'), force: false })).rejects.toThrow(
      /no database/,
    )
    expect((await readdir(folder.dir)).filter((name) => !name.startsWith('dray.db'))).toEqual([])
  })
})

describe('a restore', () => {
  it('skips the numbers of attempts that may have run since, and counts no failure for it', async () => {
    const agent = await liveAgent(store)
    const waiting = await submit(store)
    const placed = await submit(store)
    await move(store, placed.state, assigned(placed.state, agent))
    const running = await runOn(store, agent)
    const ended = await runOn(store, agent)
    const done = await move(store, ended.state, finished(ended.state, agent))
    await backup()
    expect(await restoreTo('new.db')).toMatchObject({ liveJobs: 3, incarnation: 2, movedTo: null })

    const restored = await folder.open('new.db')
    expect((await read(restored, waiting.state)).state).toMatchObject({ phase: 'queued', attempt: 1000, failures: 0 })
    const taken = await read(restored, placed.state)
    expect(taken.state).toMatchObject({ phase: 'queued', attempt: 1000, assignment: null })
    const held = await read(restored, running.state)
    expect(held.state).toMatchObject({ phase: 'pulling', attempt: 1001, failures: 0, assignment: { attempt: 1 } })
    expect(await read(restored, ended.state)).toEqual(done)
    expect((await restored.readTransitions({ tenant: 'acme', job: held.state.id })).at(-1)).toMatchObject({
      event: 'restored',
      rev: held.state.rev,
    })
    // Each goes on: the next number is one that nobody has used, and the held attempt may end the job.
    const again = await move(restored, taken.state, assigned(taken.state, agent))
    await beat(restored, agent, 9)
    await move(restored, again.state, claimed(again.state, agent))
    const end = { ...finished(held.state, agent), attempt: 1 } as ReturnType<typeof finished>
    expect((await move(restored, held.state, end)).state).toMatchObject({ status: 'completed', attempt: 1001 })
    await restored.close()
  })

  it('forgets which process of an agent is the newest, and judges no lease by the time that the backup lay around', async () => {
    const agent = await liveAgent(store, 60_000)
    await backup()
    await restoreTo('new.db')
    const restored = await folder.open('new.db')
    expect(await restored.readAgent(agent)).toMatchObject({ session: '', beat: 0 })
    expect((await restored.beginSweep({ termMs: 6_000, limit: 10 })).blind).toBe(true)
    expect(await beat(restored, agent, 40, [], { session: 's1' })).toMatchObject({ kind: 'ok' })
    expect(await beat(restored, agent, 1, [], { session: 's2' })).toMatchObject({ kind: 'ok' })
    expect(await beat(restored, agent, 41, [], { session: 's1' })).toMatchObject({ kind: 'superseded' })
    await restored.close()
  })

  it('is refused while any process has the database open, and keeps the old one once none has', async () => {
    const { state } = await submit(store)
    const env = cliEnv({ DRAY_DATABASE_URL: folder.urlOf('live.db') })
    const command = (verb: string): ReturnType<typeof runCli> =>
      runCli(['control-plane', verb, folder.inside('copy')], env)
    await backup('live.db')
    const holder = await folder.hold('live.db')
    expect(await command('backup')).toMatchObject({ code: 0, stderr: expect.stringContaining('1 live jobs') })
    const refused = { code: 1, stderr: expect.stringContaining('Stop every control plane') }
    expect(await command('restore')).toMatchObject(refused)
    // A frozen one has it open as well.
    holder.signal('SIGSTOP')
    expect(await command('restore')).toMatchObject(refused)
    holder.signal('SIGCONT')
    await holder.stop('SIGKILL')
    expect(await command('restore')).toMatchObject({ code: 0, stderr: expect.stringContaining('incarnation 2') })
    const names = await readdir(folder.dir)
    expect(names.filter((name) => /before-restore-[^.]+Z$/.test(name))).toHaveLength(1)
    expect(names.filter((name) => name.includes('restoring'))).toEqual([])
    const restored = await folder.open('live.db')
    expect((await read(restored, state)).state.attempt).toBe(1000)
    await restored.close()
  })

  it('of the same backup once more skips further, so that no life of the database repeats another one’s numbers', async () => {
    const { state } = await submit(store)
    await backup()
    await restoreTo('live.db')
    const holder = await folder.hold('live.db')
    await holder.stop('SIGKILL')
    expect(await restoreTo('live.db')).toMatchObject({ incarnation: 3 })
    const restored = await folder.open('live.db')
    expect((await read(restored, state)).state.attempt).toBe(2000)
    await restored.close()
  })

  it('of a damaged or foreign file is refused, and changes nothing', async () => {
    for (let number = 0; number < 50; number++) await store.createJob(newJob({ env: { FILL: 'x'.repeat(2_000) } }))
    await backup()
    await truncate(folder.inside('copy'), 40_000)
    await writeFile(folder.inside('text'), 'no database at all, and long enough to look like one '.repeat(50))
    const before = await readdir(folder.dir)
    await expect(restoreTo('dray.db')).rejects.toMatchObject({ code: 'internal' })
    await expect(restoreTo('dray.db', 'text')).rejects.toMatchObject({ code: 'internal' })
    expect(await readdir(folder.dir)).toEqual(before)
  })

  it('over a database that cannot be read needs --force, and moves it aside', async () => {
    await backup()
    await writeFile(folder.inside('broken.db'), 'zeros where a database was '.repeat(100))
    await expect(restoreTo('broken.db')).rejects.toMatchObject({ code: 'unavailable' })
    const { movedTo } = await restoreTo('broken.db', 'copy', true)
    expect(await readFile(movedTo ?? '', 'utf8')).toContain('zeros')
  })
})

it('migrate brings a new database to the schema once, and names a wrong setting in one sentence', async () => {
  const env = cliEnv({ DRAY_DATABASE_URL: folder.urlOf('fresh.db') })
  const migrate = (more = {}): ReturnType<typeof runCli> => runCli(['control-plane', 'migrate'], { ...env, ...more })
  expect(await migrate()).toMatchObject({ code: 0, stderr: expect.stringMatching(/applied 0001_begin\.sql, 0002/) })
  expect(await migrate()).toMatchObject({ code: 0, stderr: 'dray: the database is up to date\n' })
  const wrong = await migrate({ DRAY_DATABASE_URL: 'nowhere' })
  expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('DRAY_DATABASE_URL is "nowhere"') })
})
