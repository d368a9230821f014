// What people see: updates as text, a container's bytes as they were, ends of jobs, tables, times.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { endText } from '../../cli/end-report.ts'
import { logBytesOf } from '../../cli/render/log-bytes.ts'
import { createProgressView } from '../../cli/render/progress-view.ts'
import { table } from '../../cli/render/table.ts'
import { durationText, sizeText } from '../../cli/render/time-text.ts'
import { updateText } from '../../cli/render/update-text.ts'
import { cutToWidth } from '../../cli/terminal/region.ts'
import type { JobView } from '../../shared/job.ts'
import { seqOf, terminalSeq } from '../../shared/position.ts'
import type { Frame, Update } from '../../shared/update.ts'

const update = (fields: Record<string, unknown>): Update => ({
  type: 'log_update',
  job_id: 'job_1',
  attempt: 1,
  at: '2026-11-25T00:00:00.000Z',
  seq: seqOf(1, 1),
  ...fields,
})

test('logBytesOf() gives back what the container printed, whatever bytes it was', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (line, eol) => {
      const text = Buffer.from(line).toString('utf8')
      const exact = Buffer.from(text).equals(Buffer.from(line))
      const frame = update({
        stream: 'stderr',
        content: text,
        ...(exact ? {} : { bytes: Buffer.from(line).toString('base64') }),
        ...(eol ? {} : { eol: false }),
      })
      const printed = logBytesOf(frame)
      expect(printed?.stream).toBe('stderr')
      expect(Buffer.from(printed?.bytes ?? [])).toEqual(Buffer.concat([line, Buffer.from(eol ? '\n' : '')]))
    }),
  )
})

test('logBytesOf() leaves out what the container did not print', () => {
  expect(logBytesOf(update({ content: 'a line was long', severity: 'warning' }))).toBeUndefined()
  expect(logBytesOf(update({ type: 'chunk', content: 'x', stream: 'stdout' }))).toBeUndefined()
})

test('updateText() says one line for each known type', () => {
  const texts = [
    update({ type: 'node_update', node_id: 'n', node_name: 'Format', status: 'completed', result: { output: 'hi' } }),
    update({ type: 'node_progress', node_id: 'n', progress: 3, total: 10 }),
    update({ type: 'edge_update', edge_id: 'e1', status: 'message_sent', counter: 2 }),
    update({ type: 'edge_update', edge_id: 'e1', status: 'drained', counter: null }),
    update({ type: 'output_update', node_id: 'n', output_name: 'result', value: 'Hello, World' }),
    update({ type: 'job_update', status: 'running', container_status: 'failed', error: 'bad' }),
    update({ type: 'brand_new', node_id: 'n', what: 1 }),
    update({ content: 'remark', severity: 'warning' }),
    { type: 'gap', from: 5, to: 9 } as Frame,
  ].map(updateText)
  expect(texts).toEqual([
    'node Format completed: {"output":"hi"}',
    'node n 3/10',
    'edge e1 message_sent: 2',
    'edge e1 drained',
    'output result = "Hello, World"',
    'job failed: bad',
    'brand_new {"node_id":"n","what":1}',
    'warning: remark',
    '(5 updates are no longer stored: 5 to 9)',
  ])
})

test('updateText() never hands control characters to the terminal and cuts long values', () => {
  expect(updateText(update({ type: 'notification', severity: 'info', content: '\u001B[2Jgone' }))).toBe(
    'info: \\x1b[2Jgone',
  )
  const long = updateText(update({ type: 'output_update', output_name: 'o', value: 'x'.repeat(5_000) })) ?? ''
  expect(long.length).toBeLessThan(600)
  expect(long).toContain('5002 characters')
})

test('updateText() is silent about state frames and prints the end with its result', () => {
  const state = {
    type: 'job_update',
    job_id: 'j',
    status: 'running',
    phase: 'running',
    attempt: 1,
    cancel_requested: false,
  } as Frame
  expect(updateText(state)).toBeUndefined()
  const end = update({
    type: 'job_update',
    status: 'completed',
    exit: { code: 0, oom_killed: false, reason: 'exited' },
    duration: 1.234,
    result: { out: [1] },
    seq: terminalSeq(1),
  })
  expect(updateText(end)).toBe('job completed after 1.2 s\nresult {"out":[1]}')
})

const ended: JobView = {
  id: 'job_1',
  tenant: 'default',
  status: 'error',
  phase: 'finished',
  cancel_requested: false,
  attempt: 1,
  created_at: '2026-11-25T00:00:00.000Z',
  attempts: [
    {
      attempt: 1,
      agent: 'agt_7',
      gpus: [],
      claimed_at: '2026-11-25T00:00:00.000Z',
      started_at: '2026-11-25T00:00:01.000Z',
      finished_at: '2026-11-25T00:00:03.500Z',
    },
  ],
  transitions: [],
  labels: {},
  spec: {},
  error: { code: 'exit_nonzero', message: 'Traceback\nboom', hint: 'Read the last lines of its stderr.' },
  exit: { code: 3, oom_killed: false, reason: 'exited' },
}

test('endText() says reason, exit code, agent, last lines and what next', () => {
  expect(endText(ended, { outputShown: false })).toEqual([
    'job_1 failed: exit_nonzero, exit code 3, on agent agt_7, after 2.5 s',
    '  Traceback',
    '  boom',
    'Read the last lines of its stderr.',
    'next: dray show job_1 | dray logs job_1 | dray retry job_1',
  ])
  expect(endText(ended, { outputShown: true })).not.toContain('  boom')
})

test('createProgressView() shows phase and nodes and nothing after the end', () => {
  const view = createProgressView('job_1', 0)
  view.see({
    type: 'job_update',
    job_id: 'job_1',
    status: 'running',
    phase: 'running',
    attempt: 1,
    cancel_requested: false,
  })
  view.see(update({ type: 'node_update', node_id: 'n', node_name: 'Sample', status: 'running' }))
  view.see(update({ type: 'node_progress', node_id: 'n', progress: 5, total: 10 }))
  expect(view.lines(65_000)).toEqual([' job_1  running  1 min 5 s', ' running    Sample  [##########..........] 50 %'])
  view.see(update({ type: 'job_update', status: 'completed', seq: terminalSeq(1) }))
  expect(view.lines(66_000)).toEqual([])
})

test('table(), durationText(), sizeText() and cutToWidth() are readable', () => {
  expect(table(['A', 'LONG'], [['xx', '1']])).toBe('A   LONG\nxx  1\n')
  expect([0.44, 59.6, 185, 7_800, 90_000].map(durationText)).toEqual([
    '0.4 s',
    '1 min 0 s',
    '3 min 5 s',
    '2 h 10 min',
    '1 d 1 h',
  ])
  expect([0, 512, 2 ** 31, 150 * 2 ** 20].map(sizeText)).toEqual(['0 B', '512 B', '2.0 GiB', '150 MiB'])
  expect(cutToWidth('\u001B[1mabcdef\u001B[0m', 3)).toBe('\u001B[1mabc\u001B[0m')
})
