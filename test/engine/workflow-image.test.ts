// The packed images in a real engine: always the same id, usable tools, and a nodetool that speaks the protocol under the
// restrictions that jobs have.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, inject, test } from 'vitest'
import { ensureImages, packImages } from '../../deploy/image.ts'
import { imageId } from '../../deploy/engine-api.ts'
import { runContainer } from '../support/run-container.ts'

const socketPath = inject('engineSocket')

function stdinOf(fixture: string): string {
  const request: unknown = JSON.parse(
    readFileSync(join(import.meta.dirname, '..', 'fixtures', `${fixture}.json`), 'utf8'),
  )
  return `{${'\n'.repeat(10)}${JSON.stringify(request).slice(1)}`
}

async function nodetool(fixture: string, options: { flags?: string[]; env?: string[]; stdin?: string } = {}) {
  const { flags = ['--show-node-updates'], env = [], stdin = stdinOf(fixture) } = options
  const Cmd = ['nodetool', 'run', '--stdin', '--jsonl', ...flags]
  const run = await runContainer(socketPath, { Image: inject('workflowImage'), Cmd, Env: env }, stdin)
  return { ...run, lines: run.stdout.split('\n').filter(Boolean) }
}

/** "job running", "edge e1 drained" and so on: what happened, without the fields. */
function story(lines: string[]): string[] {
  return lines.map((line) => {
    const update = JSON.parse(line.replace(/-?\b(NaN|Infinity)\b/g, 'null')) as Record<string, string>
    const { type = '', status = '', node_id, edge_id, value } = update
    const subject = type === 'job_update' ? 'job' : (edge_id ?? node_id ?? '')
    return [subject, type === 'output_update' ? `says ${value}` : status || type].filter(Boolean).join(' ')
  })
}

test('packing twice gives the same ids, and the engine has them under both tags', async () => {
  const arch = { x64: 'amd64', arm64: 'arm64' }[process.arch as string] ?? process.arch
  const [first, second] = [await packImages(arch), await packImages(arch)]
  expect(second.workflow.id).toBe(first.workflow.id)
  expect(second.busybox.id).toBe(first.busybox.id)
  expect(await imageId(socketPath, inject('workflowImage'))).toBe(first.workflow.id)
  expect(await imageId(socketPath, `dray-workflow:${first.workflow.id.slice(7, 19)}`)).toBe(first.workflow.id)
})

test('ensureImages() finds what is there', async () => {
  const stateDir = join(inject('engineSocket'), '..', '..')
  const { workflow } = await ensureImages({ socketPath, stateDir })
  expect(workflow).toMatchObject({ image: inject('workflowImage'), how: 'found' })
})

test('both images have a shell and the small tools', async () => {
  const tools =
    'sh cat sleep dd which id env head tail yes seq kill true false printf ps stat touch df mount awk grep wc'
  const script = `for tool in ${tools}; do which $tool > /dev/null || echo missing $tool; done; pwd; touch /workspace/a /tmp/a`
  for (const Image of [inject('busyboxImage'), inject('workflowImage')]) {
    const { stdout, stderr, exitCode } = await runContainer(socketPath, { Image, Cmd: ['sh', '-c', script] })
    expect({ stdout, stderr, exitCode }).toEqual({ stdout: '/workspace\n', stderr: '', exitCode: 0 })
  }
})

test('nodetool says its updates in order', async () => {
  const { lines, exitCode, stderr } = await nodetool('F1')
  expect(story(lines)).toEqual([
    'job running',
    'out1 running',
    'e1 message_sent',
    'fmt running',
    'e1 drained',
    'fmt running',
    'e2 message_sent',
    'fmt completed',
    'e1 drained',
    'e2 drained',
    'out1 says Hello, World',
    'out1 completed',
    'e2 drained',
    'job completed',
  ])
  expect(lines.at(-1)).toContain('"result": {"result": ["Hello, World"]}')
  expect(stderr).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \| INFO \| nodetool\.\S+ \| /)
  expect(exitCode).toBe(0)
})

test('nodetool drops node updates without --show-node-updates', async () => {
  const { lines } = await nodetool('F2', { flags: [] })
  expect(lines.join('\n')).not.toContain('node_update')
  expect(story(lines).filter((what) => what.startsWith('out1'))).toEqual(['out1 says W_1', 'out1 says W_2'])
})

test('nodetool tells a failure four times and exits 1', async () => {
  const { lines, exitCode } = await nodetool('F3', { flags: [] })
  expect(story(lines).slice(-4)).toEqual(['job failed', 'error', 'job failed', 'error'])
  expect(exitCode).toBe(1)
  const unknown = await nodetool('F4')
  expect(story(unknown.lines)).toEqual(['error', 'job failed', 'error'])
  expect(unknown.exitCode).toBe(1)
})

test('nodetool ends with exit 0 when suspended, and whatever ComfyUI said', async () => {
  const suspended = await nodetool('F6', { flags: [] })
  expect(story(suspended.lines)).toContain('job suspended')
  expect(story(suspended.lines).at(-1)).toBe('e2 drained')
  const comfy = (status: string) =>
    `{${'\n'.repeat(10)}"graph":{"edges":[],"nodes":[{"id":"c","type":"comfy.Any","data":{"status":"${status}"}}]}}`
  for (const status of ['failed', 'cancelled']) {
    const { lines, exitCode } = await nodetool('F1', { stdin: comfy(status) })
    expect([story(lines).at(-1), exitCode]).toEqual([`job ${status}`, 0])
  }
  expect(suspended.exitCode).toBe(0)
})

test('nodetool prints what is no JSON among its updates', async () => {
  const { stdout } = await nodetool('F7')
  expect(stdout).toContain('\n\n{"half":\n')
  expect(stdout).toContain('[NaN, Infinity, -Infinity, 1.5]')
  expect(stdout).toContain('{"__type__": "bytes", "base64": "AAECAw=="}')
})

test.each([
  ['', 'Error: No input provided via stdin'],
  ['{"workflow_id":"import me"}', "Error: DSL code must define a module-level 'graph' object."],
  ['{"workflow_id":"import me","params":null}', "NameError: name 'null' is not defined"],
  ['{', 'Error: Invalid JSON from stdin:'],
])('nodetool refuses %j with exit 1 and nothing on stdout', async (stdin, message) => {
  const { stdout, stderr, exitCode } = await nodetool('F1', { stdin })
  expect(stderr).toContain(message)
  expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 1 })
})

test('nodetool of flavour A refuses --show-node-updates with exit 2', async () => {
  const { stderr, exitCode } = await nodetool('F1', { env: ['NODETOOL_FLAVOR=A'] })
  expect(stderr).toContain('Error: No such option: --show-node-updates')
  expect(exitCode).toBe(2)
})
