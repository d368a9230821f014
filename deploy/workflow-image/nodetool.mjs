#!/usr/bin/env node
// A stand-in of the nodetool command line, for tests and for the sample workflow image.
//
// It speaks what `nodetool run --stdin --jsonl` of nodetool-core 0.6 speaks, byte for byte where that matters to a
// runner: the guess whether stdin is Python, the options of two versions, the order of the updates, Python's way of
// writing JSON, logs on stderr, several job updates on failure, exit codes and signals. It runs the small test nodes
// only (nodes.mjs). NODETOOL_FLAVOR=A makes it the older version, which refuses `--show-node-updates`; B is the default.
//
// Plain JavaScript without packages: it is copied into the image as it is.

import { readFileSync, writeSync } from 'node:fs'
import { dumps } from './python-json.mjs'
import { runWorkflow } from './workflow.mjs'

const flavors = {
  A: { flags: ['--jsonl', '--stdin'], values: ['--user-id', '--auth-token'] },
  B: {
    flags: ['--jsonl', '--stdin', '--show-node-updates', '--show-previews', '--show-outputs'],
    values: ['--user-id', '--auth-token', '--repeat', '-n'],
  },
}

const usage = 'Usage: nodetool run [OPTIONS] [WORKFLOW]'

/** What makes the real program take its input for Python when it stands in the first ten lines. */
const pythonSigns = [
  'import ',
  'from ',
  'def ',
  'class ',
  '= graph(',
  '=graph(',
  'Graph(',
  '# ',
  "'''",
  '"""',
  'graph = ',
]

class Exit extends Error {
  constructor(code, stderr = '') {
    super(stderr)
    this.code = code
  }
}

function parseArguments(args, flavor) {
  const options = { repeat: '1' }
  const rest = [...args]
  while (rest.length > 0) {
    const [name, inline] = rest.shift().split(/=(.*)/s)
    if (name === '--help') throw new Exit(0, help(flavor))
    if (flavor.flags.includes(name)) options[name.slice(2)] = true
    else if (flavor.values.includes(name)) {
      const value = inline ?? rest.shift()
      if (value === undefined) throw usageError(`Option '${name}' requires an argument.`)
      options[name === '-n' ? 'repeat' : name.slice(2)] = value
    } else if (name.startsWith('-')) throw usageError(`No such option: ${name}`)
    else options.workflow = name
  }
  options.repeat = Number(options.repeat)
  if (!(options.repeat >= 1)) throw usageError("Invalid value for '--repeat' / '-n': it must be at least 1.")
  return options
}

function usageError(message) {
  return new Exit(2, `${usage}\nTry 'nodetool run --help' for help.\n\nError: ${message}`)
}

function help(flavor) {
  return `${usage}\n\nOptions:\n${[...flavor.flags, ...flavor.values, '--help'].map((name) => `  ${name}`).join('\n')}`
}

/** The real program joins the first ten lines of the stripped text and looks for signs anywhere in them. */
function looksLikePython(data) {
  const text = data.trim()
  const head = text.split('\n').slice(0, 10).join('\n')
  return pythonSigns.some((sign) => head.includes(sign)) || !'[{"\':'.includes(text[0])
}

/** What Python says when it executes a JSON text as a program. */
function executedAsPython(data) {
  const name = /\b(null|true|false)\b/.exec(data.replace(/"(?:[^"\\]|\\.)*"/gs, '""'))?.[1]
  if (name === undefined) return new Exit(1, "Error: DSL code must define a module-level 'graph' object.")
  const where = 'Traceback (most recent call last):\n  File "<string>", line 1, in <module>'
  return new Exit(1, `${where}\nNameError: name '${name}' is not defined`)
}

function readRequest(data, isOldFlavor) {
  if (data.trim() === '') throw new Exit(1, 'Error: No input provided via stdin')
  if (!isOldFlavor && looksLikePython(data)) throw executedAsPython(data)
  let request
  try {
    request = JSON.parse(data)
  } catch (error) {
    throw new Exit(1, `Error: Invalid JSON from stdin: ${error.message}`)
  }
  const wrong = whatIsWrong(request)
  if (wrong !== undefined) throw new Exit(1, `Error: Invalid RunJobRequest: ${wrong}`)
  // The real program builds the request anew: job_id, env and limits that were sent are thrown away.
  const { workflow_id = '', user_id = '', params, graph, run_mode } = request
  return { workflow_id, user_id, params: params ?? {}, graph, run_mode }
}

function whatIsWrong(request) {
  if (typeof request !== 'object' || request === null || Array.isArray(request)) return 'Input should be an object'
  const { graph } = request
  if (graph === undefined || graph === null) return undefined
  if (!Array.isArray(graph.nodes) || !Array.isArray(graph.edges)) return 'graph\n  Input should have nodes and edges'
  if (graph.nodes.some((node) => typeof node?.id !== 'string')) return 'graph.nodes.id\n  Field required'
  return undefined
}

/** Writes to the descriptor itself, so that nothing waits in a buffer when a signal ends the process. */
function write(fd, data) {
  const bytes = Buffer.from(data)
  for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at)
}

async function run(args) {
  const isOldFlavor = process.env.NODETOOL_FLAVOR === 'A'
  const options = parseArguments(args, isOldFlavor ? flavors.A : flavors.B)
  if (!options.stdin || !options.jsonl) throw new Exit(1, 'Error: this stand-in runs with --stdin --jsonl only')
  const request = readRequest(readFileSync(0, 'utf8'), isOldFlavor)
  const say = (message) => {
    if (message.type !== 'node_update' || options['show-node-updates']) write(1, `${dumps(message)}\n`)
  }
  let exitCode = 0
  for (let iteration = 1; iteration <= options.repeat; iteration += 1) {
    const total = options.repeat
    if (total > 1) say({ type: 'repeat_start', iteration, total })
    const code = await runWorkflow(request, { say, iteration, log, writeRaw: (bytes) => write(1, bytes) })
    exitCode = Math.max(exitCode, code)
    if (total > 1) say({ type: 'repeat_end', iteration, total })
  }
  log('INFO', 'nodetool.concurrency.pool', 'Shutting down thread pool')
  return exitCode
}

function log(level, name, message) {
  const levels = ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL']
  const least = process.env.NODETOOL_LOG_LEVEL ?? process.env.LOG_LEVEL ?? 'INFO'
  if (levels.indexOf(level) < levels.indexOf(least)) return
  const at = new Date().toISOString().slice(0, 19).replace('T', ' ')
  write(2, `${at} | ${level} | ${name} | ${message}\n`)
}

process.on('SIGINT', () => {
  write(2, '\nAborted!\n')
  process.exit(1)
})

try {
  const [command, ...args] = process.argv.slice(2)
  if (command !== 'run')
    throw new Exit(command === '--help' ? 0 : 2, 'Usage: nodetool [OPTIONS] COMMAND [ARGS]...\n\nCommands:\n  run')
  process.exitCode = await run(args)
} catch (error) {
  if (!(error instanceof Exit)) throw error
  write(error.code === 0 ? 1 : 2, `${error.message}\n`)
  process.exitCode = error.code
}
