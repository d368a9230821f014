// Runs one graph and says its updates in the order in which nodetool says them.
//
// Each update has every field of its type, nulls included, because Python prints them all. An edge tells `drained` more
// than once, and nodes tell `running` more than once, as in the real thing. Returns the exit code.

import { randomUUID } from 'node:crypto'
import { nodeType, Suspended } from './nodes.mjs'
import { pythonType } from './python-json.mjs'

const logName = 'nodetool.workflows.workflow_runner'

export async function runWorkflow(request, { say, iteration, log, writeRaw }) {
  const run = { request, say, log, writeRaw, jobId: randomUUID().replaceAll('-', ''), startedAt: performance.now() }
  if (request.graph === undefined || request.graph === null) {
    say({ type: 'error', error: 'No ResourceScope bound for Workflow', iteration })
    return 1
  }
  const types = request.graph.nodes.map(({ type }) => type ?? 'default')
  if (request.run_mode === 'comfy' || types.some((type) => type.startsWith('comfy.'))) return runComfy(run)
  const unknown = types.find((type) => nodeType(type) === undefined)
  if (unknown !== undefined) return failToLoad(run, `Invalid node type: ${unknown}`, iteration)
  try {
    await runGraph(run)
    return 0
  } catch (error) {
    return error instanceof Suspended ? suspend(run, error) : fail(run, error.message, iteration)
  }
}

async function runGraph(run) {
  const { request, say, log } = run
  run.nodes = inOrder(request.graph)
  run.edges = request.graph.edges.map((edge) => ({ ...edge, values: [], sent: 0 }))
  run.outputs = {}
  log('INFO', logName, `Starting workflow execution for job ${run.jobId}`)
  say(jobUpdate(run, { status: 'running', message: `Workflow ${request.workflow_id} started` }))
  for (const node of run.nodes) if (node.kind.isOutput) say(nodeUpdate(node, 'running'))
  for (const node of run.nodes) if (node.kind.isInput) send(run, node, { output: inputValue(request, node) })
  for (const node of run.nodes) {
    if (node.kind.isOutput) collect(run, node)
    else if (!node.kind.isInput) await runNode(run, node)
  }
  const duration = secondsSince(run.startedAt)
  log('INFO', logName, `Job ${run.jobId} completed in ${duration.toFixed(3)} seconds`)
  say(jobUpdate(run, { status: 'completed', message: 'Workflow completed', result: run.outputs, duration }))
}

async function runNode(run, node) {
  const { say, log } = run
  const incoming = run.edges.filter(({ target }) => target === node.id)
  log('INFO', 'nodetool.workflows.actor', `Running node ${node.type} (${node.id})`)
  say(nodeUpdate(node, 'running'))
  for (const edge of incoming) say(drained(run, edge))
  say(nodeUpdate(node, 'running'))
  const tools = {
    writeRaw: run.writeRaw,
    progress: (done, total) =>
      say({ type: 'node_progress', node_id: node.id, progress: done, total, chunk: '', workflow_id: null }),
  }
  let result = null
  const rounds = Math.max(1, ...incoming.map(({ values }) => values.length))
  try {
    for (let round = 0; round < rounds; round += 1) {
      const fields = { ...node.data }
      for (const edge of incoming) fields[edge.targetHandle] = edge.values[Math.min(round, edge.values.length - 1)]
      result = await runOnce(run, node, fields, tools)
    }
  } catch (error) {
    if (!(error instanceof Suspended)) say(nodeUpdate(node, 'error', { error: error.message }))
    throw error
  }
  say(nodeUpdate(node, 'completed', { result }))
  for (const edge of incoming) say(drained(run, edge))
}

/** A stream's values reach the outputs at once, a single result only when its node has completed. */
async function runOnce(run, node, fields, tools) {
  if (node.kind.stream === undefined) {
    const result = await node.kind.process(fields, tools)
    send(run, node, result)
    return result
  }
  let last = null
  for await (const result of node.kind.stream(fields, tools)) {
    send(run, node, result)
    for (const edge of run.edges.filter(({ source }) => source === node.id)) {
      const target = run.nodes.find(({ id }) => id === edge.target)
      if (target?.kind.isOutput) output(run, target, edge)
    }
    last = result
  }
  return last
}

function send(run, node, result) {
  for (const edge of run.edges.filter(({ source }) => source === node.id)) {
    if (!(edge.sourceHandle in result)) continue
    edge.values.push(result[edge.sourceHandle])
    edge.sent += 1
    run.say({ ...drained(run, edge), status: 'message_sent', counter: edge.sent })
  }
}

function collect(run, node) {
  const incoming = run.edges.filter(({ target }) => target === node.id)
  for (const edge of incoming) {
    run.say(drained(run, edge))
    output(run, node, edge)
  }
  run.say(nodeUpdate(node, 'completed', { result: { output: run.outputs[node.data.name]?.at(-1) ?? null } }))
  for (const edge of incoming) run.say(drained(run, edge))
}

function output(run, node, edge) {
  const { name } = node.data
  const values = (run.outputs[name] ??= [])
  for (const value of edge.values.splice(0)) {
    run.say(outputUpdate(node, value))
    // Equal values in a row are kept once: the result is not the list of output updates.
    if (values.at(-1) !== value) values.push(value)
  }
}

function suspend(run, { message }) {
  run.log('INFO', logName, `Job ${run.jobId} suspended: ${message}`)
  run.say(jobUpdate(run, { status: 'suspended', message }))
  for (const edge of run.edges) run.say(drained(run, edge))
  return 0
}

function fail(run, error, iteration) {
  const { say, log, request } = run
  log('ERROR', logName, `Error during graph execution for job ${run.jobId}: ${error}`)
  // Outputs that never got a value still say one.
  for (const node of run.nodes) if (node.kind.isOutput && !run.outputs[node.data.name]) say(outputUpdate(node, ''))
  say(jobUpdate(run, { status: 'failed', error }))
  say({ type: 'error', message: error, thread_id: null, workflow_id: request.workflow_id })
  say(jobUpdate(run, { status: 'failed', error, workflow_id: null }))
  say({ type: 'error', error, iteration })
  return 1
}

function failToLoad(run, error, iteration) {
  run.log('ERROR', logName, error)
  run.say({ type: 'error', message: error, thread_id: null, workflow_id: run.request.workflow_id })
  run.say(jobUpdate(run, { status: 'failed', error, workflow_id: null }))
  run.say({ type: 'error', error, iteration })
  return 1
}

/** The ComfyUI route never fails the process: it exits 0 whatever status it told. */
function runComfy(run) {
  const data = run.request.graph.nodes[0]?.data ?? {}
  run.say(jobUpdate(run, { status: 'running', message: 'ComfyUI workflow started' }))
  run.say(jobUpdate(run, { status: data.status ?? 'completed', error: data.error ?? null }))
  return 0
}

/** Sources before targets; a cycle's nodes come last, in the order of the list. */
function inOrder({ nodes, edges }) {
  const done = new Map()
  let rest = nodes
  while (rest.length > 0) {
    const ready = rest.filter(({ id }) => edges.every(({ source, target }) => target !== id || done.has(source)))
    for (const node of ready.length > 0 ? ready : rest) {
      done.set(node.id, { ...node, data: node.data ?? {}, kind: nodeType(node.type) })
    }
    rest = rest.filter(({ id }) => !done.has(id))
  }
  return [...done.values()]
}

function inputValue({ params }, { data, kind }) {
  return params[data.name] ?? data[kind.property ?? 'value'] ?? null
}

function secondsSince(startedAt) {
  return (performance.now() - startedAt) / 1000
}

function jobUpdate(run, fields) {
  const nothing = { message: null, result: null, error: null, traceback: null, run_state: null, duration: null }
  return {
    type: 'job_update',
    status: '',
    job_id: run.jobId,
    workflow_id: run.request.workflow_id,
    ...nothing,
    ...fields,
  }
}

function nodeUpdate(node, status, { error = null, result = null } = {}) {
  const names = { node_id: node.id, node_name: node.type.split('.').at(-1), node_type: node.type }
  return { type: 'node_update', ...names, status, error, result, properties: null, workflow_id: null }
}

function outputUpdate(node, value) {
  const { name } = node.data
  const names = { node_id: node.id, node_name: name, output_name: name }
  return { type: 'output_update', ...names, value, output_type: pythonType(value), metadata: {}, workflow_id: null }
}

function drained(run, edge) {
  const { workflow_id } = run.request
  return { type: 'edge_update', workflow_id, edge_id: edge.id ?? null, status: 'drained', counter: null }
}
