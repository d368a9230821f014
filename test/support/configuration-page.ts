// docs/configuration.md, made from the table of settings that the control plane reads. `node
// test/support/configuration-page.ts` writes it; a test compares it, so that no setting is without its words.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { controlPlaneSettings } from '../../control-plane/entry/control-plane-config.ts'

const root = join(import.meta.dirname, '..', '..')
export const configurationPagePath = join(root, 'docs', 'configuration.md')

/** The agent's settings are checked by runner-agent/config.ts; these are their words. */
const AGENT: Readonly<Record<string, readonly [description: string, fallback: string, unit?: string]>> = {
  DRAY_URL: ['Address of the control plane.', 'none: it is needed'],
  DRAY_JOIN_TOKEN: ['Lets a machine join; not needed once its state folder has joined.', 'none'],
  DRAY_STATE: ['State folder, mode 0700: its NATS key and its HTTP key.', '`~/.local/state/dray/agent`'],
  DRAY_AGENT_NAME: ['Name shown to people.', 'its id'],
  DRAY_POOL: ['Pool that it joins.', 'default'],
  DRAY_LABELS: ['Labels such as `gpu=a100,zone=b`, separated by commas; `agent_labels` of jobs ask for them.', 'none'],
  DRAY_DRAIN_SECONDS: [
    'How long SIGTERM waits for running jobs; what is left is taken up by the next process.',
    '30',
    'seconds',
  ],
  DRAY_PASS_ENV: ['Names of further variables that containers get, separated by commas.', 'none'],
  DRAY_INTERNET_NETWORK: ['Docker network for jobs with `network: internet`.', 'bridge'],
  DOCKER_HOST: ['Socket of the Docker engine.', 'unix:///var/run/docker.sock'],
  DOCKER_IMAGE: ['Image of jobs that name none.', 'nodetool'],
  DOCKER_COMMAND: [
    'Command of jobs with a `request` that name none.',
    'nodetool run --stdin --jsonl --show-node-updates',
  ],
  DOCKER_MEM_LIMIT: ['Memory of jobs that do not say.', '2g', 'size'],
  DOCKER_CPU_LIMIT: ['CPUs of jobs that do not say.', '2.0'],
  DOCKER_GPU_DEVICES: ['GPUs that jobs may use: ids or UUIDs, separated by commas, or `all`.', 'none'],
  DOCKER_GPU_MEMORY_LIMIT: [
    'GPU memory that a device counts with in placement; passed to jobs as a hint (`PYTORCH_CUDA_ALLOC_CONF`). Nothing enforces it: Docker has no such limit.',
    'the device’s own',
    'size',
  ],
}

interface Setting {
  readonly description: string
  readonly fallback: string
  readonly unit: string
}

export function configurationPage(): string {
  const own = Object.entries(controlPlaneSettings.shape).map(([name, schema]) =>
    row(name, schema.meta() as unknown as Setting),
  )
  const agent = agentSettingNames().map((name) => {
    const words = AGENT[name]
    if (!words) throw new Error(`test/support/configuration-page.ts has no words for the agent's setting ${name}`)
    const [description, fallback, unit = ''] = words
    return row(name, { description, fallback, unit })
  })
  return `# Configuration

Everything is set by environment variables. A value that makes no sense is refused at the start, in a sentence that names
the variable. A blank variable counts as not set. Sizes are written as Docker writes them: \`512m\`, \`2g\` (binary).

This page is generated: \`node test/support/configuration-page.ts\`.

## Control plane

${table(own)}

A value of a job above a \`DRAY_MAX_*\` is refused (400) and the maximum named; a default above it is lowered to it.

## Agent

${table(agent)}

Containers also get the settings that nodetool reads (\`OPENAI_API_KEY\`, \`HF_TOKEN\` and their like) where the agent has
them. What a job says wins: its \`env\`, then \`request.env\`, then the agent's settings, then the image's own.

## Command line

${table([
  row('DRAY_URL', { description: 'Address of the control plane.', fallback: 'the stack of this checkout', unit: '' }),
  row('DRAY_TOKEN', { description: 'Key to use.', fallback: 'the key of the stack of this checkout', unit: '' }),
  row('DRAY_STATE', { description: 'State folder of `dray up`.', fallback: '`.dray`', unit: '' }),
])}
`
}

/** From the source, not from the module: the schema is private to it. */
function agentSettingNames(): string[] {
  const source = readFileSync(join(root, 'runner-agent', 'config.ts'), 'utf8')
  const schema = source.slice(source.indexOf('const settingsSchema'))
  return [...schema.slice(0, schema.indexOf('\n})')).matchAll(/^ {2}([A-Z][A-Z_]+):/gm)].map(([, name = '']) => name)
}

function row(name: string, { description, fallback, unit }: Setting): string {
  return `| \`${name}\` | ${description} | ${fallback} | ${unit} |`
}

function table(rows: readonly string[]): string {
  return ['| variable | meaning | default | unit |', '|---|---|---|---|', ...rows].join('\n')
}

if (import.meta.main) writeFileSync(configurationPagePath, configurationPage())
