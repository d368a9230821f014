// Each known type of a container's lines passes through as it is; what is no update becomes a log line of exact fields.
import { describe, expect, it } from 'vitest'
import { createUpdateMapper, type UpdateBody } from '../../shared/update-mapper.ts'

const AT = '2026-11-25T00:00:00.000Z'

function mapLine(text: string, stream: 'stdout' | 'stderr' = 'stdout', workflowId: string | null = null): UpdateBody {
  const mapper = createUpdateMapper({ jobId: 'job1', workflowId, parseUpdates: true })
  const bytes = new TextEncoder().encode(text)
  const [update] = mapper.map({ stream, bytes, eol: true, at: Date.parse(AT) }, 1)
  if (!update) throw new Error('every line is an update')
  return update
}

/** Every field that a type may have. */
const TYPES: readonly (Record<string, unknown> & { type: string })[] = [
  {
    type: 'node_update',
    node_id: 'n',
    node_name: 'N',
    node_type: 't',
    status: 'running',
    error: null,
    result: { a: 1 },
    properties: {},
    workflow_id: 'w',
  },
  { type: 'node_progress', node_id: 'n', progress: 1, total: 2, chunk: '', workflow_id: 'w' },
  { type: 'edge_update', workflow_id: 'w', edge_id: 'e', status: 'message_sent', counter: 3 },
  {
    type: 'output_update',
    node_id: 'n',
    node_name: 'N',
    output_name: 'o',
    value: [1],
    output_type: 'any',
    metadata: {},
    workflow_id: 'w',
    disposition: 'x',
    done: true,
  },
  { type: 'preview_update', node_id: 'n', value: { __type__: 'bytes', base64: 'AAEC' } },
  { type: 'save_update', node_id: 'n', name: 'f', value: 1, output_type: 'str', metadata: {} },
  { type: 'log_update', node_id: 'n', node_name: 'N', content: 'c', severity: 'error', workflow_id: 'w' },
  { type: 'notification', node_id: 'n', content: 'c', severity: 'info', workflow_id: 'w' },
  {
    type: 'chunk',
    node_id: 'n',
    thread_id: 't',
    workflow_id: 'w',
    content_type: 'text',
    content: 'x',
    content_metadata: {},
    done: false,
    thinking: true,
  },
  { type: 'task_update', task: {}, event: 'e', node_id: 'n', thread_id: 't', workflow_id: 'w', step: {} },
  { type: 'step_result', step: {}, result: 1, error: null, is_task_result: true, thread_id: 't', workflow_id: 'w' },
  { type: 'planning_update', phase: 'p', status: 's', content: 'c', node_id: 'n', thread_id: 't', workflow_id: 'w' },
  {
    type: 'tool_call_update',
    name: 'f',
    args: {},
    node_id: 'n',
    thread_id: 't',
    workflow_id: 'w',
    tool_call_id: 'c',
    message: 'm',
    step_id: 's',
    agent_execution_id: 'a',
  },
  { type: 'tool_result_update', node_id: 'n', result: {}, thread_id: 't', workflow_id: 'w' },
  {
    type: 'prediction',
    id: 'p',
    user_id: 'u',
    node_id: 'n',
    status: 's',
    workflow_id: 'w',
    provider: 'x',
    model: 'm',
    version: '1',
    node_type: 't',
    params: {},
    data: 1,
    cost: 0.5,
    logs: 'l',
    error: null,
    duration: 1.5,
    created_at: 'a',
    started_at: 'b',
    completed_at: 'c',
  },
  { type: 'error', message: 'm', error: 'e', thread_id: 't', workflow_id: 'w', iteration: 2 },
  { type: 'repeat_start', iteration: 1, total: 2 },
  { type: 'repeat_end', iteration: 1, total: 2 },
]

describe('a line of stdout', () => {
  it.each(TYPES)('passes $type through untouched, with all its fields', (line) => {
    expect(mapLine(JSON.stringify(line))).toEqual({ ...line, job_id: 'job1', at: AT })
    const nulls = Object.fromEntries(Object.keys(line).map((key) => [key, key === 'type' ? line.type : null]))
    expect(mapLine(JSON.stringify(nulls))).toEqual({ ...nulls, job_id: 'job1', at: AT })
  })

  it('passes job_update through with all its fields, its status shown as running', () => {
    const line = {
      type: 'job_update',
      status: 'queued',
      job_id: 'job1',
      workflow_id: 'w',
      message: 'm',
      result: { o: [1] },
      error: 'e',
      traceback: 't',
      run_state: { a: 1 },
      duration: 1.5,
      queue_position: 2,
      error_code: 'c',
    }
    expect(mapLine(JSON.stringify(line))).toEqual({ ...line, status: 'running', container_status: 'queued', at: AT })
  })

  it('keeps any status of nodes and edges, and a repeated one each time', () => {
    const lines = ['drained', 'drained', 'suspended', 'made up tomorrow'].map((status) =>
      mapLine(JSON.stringify({ type: 'edge_update', edge_id: 'e', status })),
    )
    expect(lines.map(({ status }) => status)).toEqual(['drained', 'drained', 'suspended', 'made up tomorrow'])
  })

  it('nested deeper than 200 is a log line with its text', () => {
    const nested = (depth: number): string =>
      `{"type":"output_update","value":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`
    expect(mapLine(nested(200))).toMatchObject({ type: 'output_update' })
    expect(mapLine(nested(201))).toMatchObject({ type: 'log_update', stream: 'stdout', content: nested(201) })
  })

  it('keeps numbers as doubles', () => {
    const { value } = mapLine('{"type":"output_update","value":[0.1,1e21,9007199254740993,-0.5]}')
    expect(value).toEqual([0.1, 1e21, 9_007_199_254_740_992, -0.5])
  })

  it('that is no update becomes a log_update with exactly these fields', () => {
    for (const [stream, severity] of [
      ['stdout', 'info'],
      ['stderr', 'warning'],
    ] as const)
      expect(mapLine('Error here', stream)).toEqual({
        type: 'log_update',
        job_id: 'job1',
        node_id: '',
        node_name: '',
        content: 'Error here',
        severity,
        stream,
        at: AT,
      })
    expect(mapLine('12:00 | DEBUG | a | x', 'stderr')).toMatchObject({ severity: 'info' })
  })
})
