import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createLineSplitter, type LinePiece } from '../../shared/json-lines.ts'
import { createUpdateMapper, type UpdateBody } from '../../shared/update-mapper.ts'

const AT = Date.UTC(2026, 10, 25)
const ISO = '2026-11-25T00:00:00.000Z'

function createMapper(options: { parseUpdates?: boolean; workflowId?: string | null } = {}) {
  return createUpdateMapper({
    jobId: 'job1',
    workflowId: options.workflowId ?? null,
    parseUpdates: options.parseUpdates ?? true,
  })
}

function pieces(bytes: Uint8Array, maxLineBytes = 8 * 2 ** 20): LinePiece[] {
  const lines: LinePiece[] = []
  const splitter = createLineSplitter({
    maxLineBytes,
    onLine: (line) => lines.push({ ...line, bytes: line.bytes.slice() }),
  })
  splitter.push(bytes)
  splitter.end()
  return lines
}

function mapText(text: string, stream: 'stdout' | 'stderr' = 'stdout', mapper = createMapper()): UpdateBody[] {
  return pieces(new TextEncoder().encode(text)).flatMap((line) => mapper.map({ ...line, stream, at: AT }, 1))
}

describe('createUpdateMapper() of JSON lines', () => {
  test('passes unknown types and fields through, with our job_id and time', () => {
    expect(mapText('{"type":"hello","x":{"y":[1,null]}}\n')).toEqual([
      { type: 'hello', x: { y: [1, null] }, job_id: 'job1', at: ISO },
    ])
  })

  test('rewrites job_id and keeps a different one', () => {
    expect(mapText('{"type":"chunk","job_id":"theirs"}\n')[0]).toMatchObject({
      job_id: 'job1',
      container_job_id: 'theirs',
    })
    expect(mapText('{"type":"chunk","job_id":"job1"}\n')[0]).not.toHaveProperty('container_job_id')
    expect(mapText('{"type":"chunk","job_id":null}\n')[0]).not.toHaveProperty('container_job_id')
  })

  test('keeps seq, attempt and at of the line beside ours', () => {
    const [update] = mapText('{"type":"chunk","seq":7,"attempt":"x","at":"noon"}\n')
    expect(update).toEqual({
      type: 'chunk',
      job_id: 'job1',
      container_seq: 7,
      container_attempt: 'x',
      container_at: 'noon',
      at: ISO,
    })
  })

  test('shows a job_update as running and keeps its own status and error', () => {
    const [update] = mapText('{"type":"job_update","status":"failed","error":"boom"}\n')
    expect(update).toMatchObject({ status: 'running', container_status: 'failed', error: 'boom' })
  })

  test('turns NaN and Infinity into null', () => {
    expect(mapText('{"type":"output_update","value":[NaN,Infinity,-Infinity,"NaN"]}\n')[0]).toMatchObject({
      value: [null, null, null, 'NaN'],
    })
  })

  test('fills workflow_id only where the key is there and null, and the request has one', () => {
    const fill = (text: string, workflowId: string | null) => mapText(text, 'stdout', createMapper({ workflowId }))[0]
    expect(fill('{"type":"error","workflow_id":null}\n', 'w1')).toMatchObject({ workflow_id: 'w1' })
    expect(fill('{"type":"error","workflow_id":"w0"}\n', 'w1')).toMatchObject({ workflow_id: 'w0' })
    expect(fill('{"type":"error"}\n', 'w1')).not.toHaveProperty('workflow_id')
    expect(fill('{"type":"error","workflow_id":null}\n', null)).toMatchObject({ workflow_id: null })
  })

  test('makes log lines of everything when updates are not parsed', () => {
    const text = '{"type":"chunk"}\n'
    const [update] = mapText(text, 'stdout', createMapper({ parseUpdates: false }))
    expect(update).toMatchObject({ type: 'log_update', content: '{"type":"chunk"}', stream: 'stdout' })
  })

  test('never parses stderr', () => {
    expect(mapText('{"type":"chunk"}\n', 'stderr')[0]).toMatchObject({ type: 'log_update', stream: 'stderr' })
  })
})

describe('createUpdateMapper() of log lines', () => {
  test('keeps blank lines, carriage returns and what is no object with a type', () => {
    expect(mapText('\nplain\r\n[1]\n{"no":"type"}\n{"half":\n').map(({ content }) => content)).toEqual([
      '',
      'plain\r',
      '[1]',
      '{"no":"type"}',
      '{"half":',
    ])
  })

  test('says when the last line had no newline', () => {
    const updates = mapText('a\nb')
    expect(updates[0]).not.toHaveProperty('eol')
    expect(updates[1]).toMatchObject({ content: 'b', eol: false })
    expect(mapText('{"type":"chunk"}')[0]).toMatchObject({ type: 'chunk', eol: false })
  })

  test('carries the bytes of a line that is no UTF-8', () => {
    const [line] = pieces(Uint8Array.of(0x61, 0xff, 0x62, 10))
    const [update] = createMapper().map({ ...line!, stream: 'stdout', at: AT }, 1)
    expect(update).toMatchObject({ content: 'a\uFFFDb', bytes: btoa('a\u00FFb') })
  })

  test.each([
    ['2026-03-19 10:00:00 | CRITICAL | a | x', 'error'],
    ['2026-03-19 10:00:00 | ERROR | a | x', 'error'],
    ['2026-03-19 10:00:00 | WARNING | a | x', 'warning'],
    ['2026-03-19 10:00:00 | INFO | a | Error', 'info'],
    ['Traceback (most recent call last):', 'warning'],
    ['Error: no', 'warning'],
    ['WARNING: old', 'warning'],
    ['something else', 'info'],
  ])('reads the severity of stderr %j as %s', (text, severity) => {
    expect(mapText(`${text}\n`, 'stderr')[0]).toMatchObject({ severity })
    expect(mapText(`${text}\n`, 'stdout')[0]).toMatchObject({ severity: 'info' })
  })

  test('gives a long line in pieces, then one warning without a stream', () => {
    const lines = pieces(new TextEncoder().encode('{"type":"abcdefg"}\nnext\n'), 8)
    const mapper = createMapper()
    const updates = lines.flatMap((line) => mapper.map({ ...line, stream: 'stdout', at: AT }, 1))
    expect(updates.map(({ content, eol, stream, severity }) => ({ content, eol, stream, severity }))).toEqual([
      { content: '{"type":', eol: false, stream: 'stdout', severity: 'info' },
      { content: '"abcdefg', eol: false, stream: 'stdout', severity: 'info' },
      { content: '"}', eol: undefined, stream: 'stdout', severity: 'info' },
      {
        content: expect.stringContaining('DRAY_MAX_LINE_BYTES'),
        eol: undefined,
        stream: undefined,
        severity: 'warning',
      },
      { content: 'next', eol: undefined, stream: 'stdout', severity: 'info' },
    ])
  })

  test('gives back every byte of any output that is not parsed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 40 }), (bytes, maxLineBytes) => {
        const mapper = createMapper({ parseUpdates: false })
        const updates = pieces(bytes, maxLineBytes).flatMap((line) =>
          mapper.map({ ...line, stream: 'stdout', at: AT }, 1),
        )
        expect(bytesOf(updates)).toEqual([...bytes])
      }),
    )
  })
})

/** What a client does to give back the container's own output. */
function bytesOf(updates: readonly UpdateBody[]): number[] {
  return updates.flatMap((update) => {
    if (update['stream'] !== 'stdout') return []
    const { bytes, content, eol } = update as { bytes?: string; content: string; eol?: false }
    const line =
      bytes === undefined
        ? [...new TextEncoder().encode(content)]
        : Array.from(atob(bytes), (character) => character.charCodeAt(0))
    return eol === false ? line : [...line, 10]
  })
}

describe('createUpdateMapper().story', () => {
  test('takes the last ending status, the first failure and the result of the last completed', () => {
    const mapper = createMapper()
    const lines = [
      '{"type":"job_update","status":"running"}',
      '{"type":"job_update","status":"failed","error":"first"}',
      '{"type":"error","message":"second"}',
      '{"type":"job_update","status":"completed","result":{"a":[1]}}',
      '{"type":"job_update","status":"running"}',
    ]
    lines.forEach((text, index) =>
      mapper.map({ stream: 'stdout', bytes: new TextEncoder().encode(text), eol: true, at: AT }, index + 10),
    )
    expect(mapper.story).toMatchObject({ status: 'completed', failure: 'first', result: { value: { a: [1] }, n: 13 } })
  })

  test('keeps the last 20 lines of stderr that are not INFO', () => {
    const mapper = createMapper()
    const text = Array.from({ length: 30 }, (_, index) => `line ${index}\nt | INFO | pool | shut down\n`).join('')
    mapText(text, 'stderr', mapper)
    expect(mapper.story.stderrTail).toHaveLength(20)
    expect(mapper.story.stderrTail.at(0)).toBe('line 10')
    expect(mapper.story.stderrTail.at(-1)).toBe('line 29')
  })

  test('is not taken in by updates on stderr or in pieces', () => {
    const mapper = createMapper()
    mapText('{"type":"job_update","status":"completed"}\n', 'stderr', mapper)
    expect(mapper.story.status).toBeNull()
  })
})
