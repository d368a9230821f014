// The README's lines, as a person would paste them: curl and the command line against a stack of this run.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startUp, type RunningUp } from '../support/cli-process.ts'

const root = path.join(import.meta.dirname, '..', '..')
const readme = readFileSync(path.join(root, 'README.md'), 'utf8')
const blocks = [...readme.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map((match) => match[1] ?? '')
const run = promisify(execFile)

let up: RunningUp
beforeAll(async () => {
  up = await startUp()
})
afterAll(() => up.stop())

/** The block that holds `word`, with this run's address, token and command line in it. */
function block(word: string): string {
  const found = blocks.find((text) => text.includes(word))
  if (found === undefined) throw new Error(`README.md has no shell block with "${word}"`)
  return found
    .replaceAll('http://127.0.0.1:8700', up.url)
    .replaceAll('.dray/token', `${up.dir}/token`)
    .replaceAll("alias dray='npm run --silent dray --'", `dray() { '${process.execPath}' cli/main.ts "$@"; }`)
}

async function shell(script: string): Promise<string> {
  const env = { ...process.env, DRAY_URL: up.url, DRAY_TOKEN: up.token }
  const { stdout } = await run('sh', ['-e', '-c', script], { cwd: root, env, maxBuffer: 64 * 2 ** 20 })
  return stdout
}

describe('the README', () => {
  it('submits and follows a job with curl by its own lines alone', async () => {
    const [submit = '', follow = ''] = block('/v1/jobs/JOB_ID/updates').split('\n\n')
    const job = JSON.parse(await shell(`${submit} -s`)) as { id: string; status: string }
    expect(job.status).toBe('starting')
    const lines = (await shell(`${follow.trim().replace('JOB_ID', job.id)} -s`))
      .split('\n')
      .filter((line) => line !== '')
    const updates = lines.map((line) => JSON.parse(line) as { type: string; status?: string; result?: unknown })
    expect(updates.map(({ type }) => type)).toEqual(
      expect.arrayContaining(['node_update', 'edge_update', 'output_update']),
    )
    expect(updates.at(-1)).toMatchObject({ status: 'completed', result: { result: ['Hello, World'] } })
  }, 60_000)

  it('has command lines that run', async () => {
    const output = await shell(block('dray submit examples/stream.json --wait'))
    expect(output).toContain('hello')
    expect(output).toContain('W_2')
  }, 60_000)
})
