// `dray demo`: the whole thing once. Takes the stack of this state folder when one runs, else starts one on a free port;
// submits two workflows, shows every update as it happens and the result, stops what it started, exits 0.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { defaultStateDir } from '../deploy/tools.ts'
import { createClient, type Client } from '../shared/client/create-client.ts'
import { runJobRequestSchema } from '../shared/nodetool.ts'
import { isGap, isStateFrame, isTerminalUpdate, type Frame } from '../shared/update.ts'
import { updateText, valueText } from './render/update-text.ts'
import { readPublished } from './supervise/state-folder.ts'
import { startStack } from './supervise/stack.ts'
import { paint, say, type Cli } from './terminal/cli.ts'
import { createStop } from './up.ts'

const examples = join(import.meta.dirname, '..', 'examples')
const files = ['hello.json', 'stream.json']

export function command(cli: Cli): Command {
  return new Command('demo')
    .option('--state <dir>', 'state folder (.dray)')
    .action((options: { state?: string }) => demo(cli, options.state ?? defaultStateDir(cli.env)))
}

async function demo(cli: Cli, stateDir: string): Promise<void> {
  const run = createStop(cli)
  const startedMs = performance.now()
  const seconds = (): string => `${((performance.now() - startedMs) / 1000).toFixed(1)} s`
  const stack = await findOrStart(cli, stateDir, run)
  try {
    await say(cli, `the stack is ready at ${stack.url} (${seconds()})`)
    const client = createClient(stack)
    for (const file of files) await runExample(cli, client, file, run.stop)
  } finally {
    await stack.stop()
    run.close()
  }
  await say(
    cli,
    `done in ${seconds()}. "npm start" keeps the stack running; README.md says how to send it your own jobs.`,
  )
}

async function findOrStart(cli: Cli, stateDir: string, run: ReturnType<typeof createStop>) {
  const running = readPublished(stateDir)
  if (running && (await answers(createClient({ ...running, timeoutMs: 2_000 })))) {
    await say(cli, 'using the stack that runs already')
    return { ...running, stop: () => Promise.resolve() }
  }
  await say(cli, 'starting the stack: Docker engine, NATS, control plane, agent')
  return startStack({
    stateDir,
    port: 0,
    host: '127.0.0.1',
    env: cli.env,
    signal: run.stop,
    force: run.force,
    onNotice: (text) => void say(cli, text),
  })
}

async function answers(client: Client): Promise<boolean> {
  return client.agents().then(
    ({ items }) => items.some(({ state }) => state === 'ready'),
    // Gone, or not ours: a stack is started, or says itself why it cannot.
    () => false,
  )
}

async function runExample(cli: Cli, client: Client, file: string, signal: AbortSignal): Promise<void> {
  const request = runJobRequestSchema.parse(JSON.parse(await readFile(join(examples, file), 'utf8')))
  const job = await client.submit({ request, labels: { demo: 'yes' } }, { signal })
  await cli.stdout.write(`\n${paint(cli, cli.stdout, 'bold', `examples/${file}`)} is job ${job.id}\n`)
  for await (const frame of client.updates(job.id, { signal })) {
    const place = isStateFrame(frame) || isGap(frame) ? '' : frame.at.slice(11, 23)
    const text = lineOf(frame).replaceAll('\n', `\n${' '.repeat(16)}`)
    await cli.stdout.write(`  ${paint(cli, cli.stdout, 'dim', place.padEnd(12))}  ${text}\n`)
  }
  const result = await client.result(job.id, { signal })
  await cli.stdout.write(`  ${paint(cli, cli.stdout, 'green', 'result')}        ${valueText(result)}\n`)
}

/** Everything has a line here, state frames and the container's own words included. The result has one of its own below. */
function lineOf(frame: Frame): string {
  if (isStateFrame(frame)) return `state ${frame.status} (${frame.phase})`
  if (isTerminalUpdate(frame)) return updateText({ ...frame, result: undefined }) ?? ''
  return updateText(frame) ?? String((frame as { content?: unknown }).content)
}
