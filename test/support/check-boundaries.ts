// Who may import whom: the folder table of the architecture, import cycles, and what "portable" means.
//
// Each function returns the faults as sentences, so that a test and `npm run check` can both use it. A folder that is not
// in the table is a fault, because a rule that nobody wrote protects nothing.

import { posix } from 'node:path'
import { withoutComments, type SourceFile } from './imports.ts'

interface Rule {
  /** Folders or files of ours; the folder itself is always allowed. */
  ours: readonly string[]
  /** Packages, `node:` for all of Node, `*` for any. */
  packages: readonly string[]
}

const nats = ['@nats-io/nats-core', '@nats-io/jetstream', '@nats-io/jwt', '@nats-io/nkeys', '@nats-io/transport-node']
const hono = ['hono', '@hono/zod-openapi', 'zod']

/** The longest fitting path wins, so a file can have a rule of its own. */
export const rules: Readonly<Record<string, Rule>> = {
  shared: { ours: [], packages: ['zod', 'uuid'] },
  'control-plane/core': { ours: ['shared'], packages: [] },
  'control-plane/http': { ours: ['shared', 'control-plane/core'], packages: hono },
  'control-plane/console': { ours: ['shared', 'control-plane/http'], packages: ['hono'] },
  'control-plane/store': {
    ours: ['shared', 'control-plane/core'],
    packages: ['drizzle-orm', '@libsql/client', 'node:'],
  },
  'control-plane/bus': { ours: ['shared', 'control-plane/core'], packages: [...nats, 'node:'] },
  'control-plane/entry': { ours: ['shared', 'control-plane'], packages: ['*'] },
  'runner-agent': { ours: ['shared'], packages: [...nats, 'dockerode', 'zod', 'node:'] },
  cli: { ours: ['shared', 'deploy'], packages: ['commander', 'zod', 'node:'] },
  // These run other parts in their own process, or as children that they write the configuration of.
  'cli/up.ts': {
    ours: ['shared', 'deploy', 'control-plane/entry', 'runner-agent'],
    packages: ['commander', 'zod', 'node:'],
  },
  'cli/control-plane.ts': {
    ours: ['shared', 'deploy', 'control-plane/entry', 'control-plane/store'],
    packages: ['commander', 'zod', 'node:'],
  },
  'cli/nats.ts': { ours: ['shared', 'control-plane/bus'], packages: ['commander', 'node:'] },
  'cli/agent.ts': { ours: ['shared', 'deploy', 'runner-agent'], packages: ['commander', 'zod', 'node:'] },
  'cli/supervise': { ours: ['shared', 'cli', 'deploy', 'control-plane/bus'], packages: ['node:'] },
  // It looks at an image as the agent would: with the agent's own attach and wait.
  'cli/image-checks': { ours: ['shared', 'cli', 'deploy', 'runner-agent/engine'], packages: ['zod', 'node:'] },
  deploy: { ours: [], packages: ['node:'] },
  test: { ours: ['shared', 'control-plane', 'runner-agent', 'cli', 'deploy'], packages: ['*'] },
}

export const portableFolders = ['shared', 'control-plane/core', 'control-plane/http'] as const

export const sourceFolders = ['shared', 'control-plane', 'runner-agent', 'cli', 'deploy', 'test'] as const

export function boundaryFaults(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) => {
    const home = homeOf(file.path)
    if (home === undefined) return [`${file.path}: no boundary rule covers its folder`]
    return file.imports
      .filter((target) => !isAllowed(target, home))
      .map((target) => `${file.path} must not import ${target}`)
  })
}

export function cycleFaults(files: readonly SourceFile[]): string[] {
  const graph = new Map(files.map(({ path, imports }) => [path, imports]))
  const done = new Set<string>()
  const faults: string[] = []
  const walk = (path: string, trail: string[]): void => {
    const at = trail.indexOf(path)
    if (at >= 0) faults.push(`import cycle: ${[...trail.slice(at), path].join(' -> ')}`)
    if (at >= 0 || done.has(path)) return
    for (const target of graph.get(path) ?? []) if (graph.has(target)) walk(target, [...trail, path])
    done.add(path)
  }
  for (const path of graph.keys()) walk(path, [])
  return faults
}

/** A portable file says so in its first line and names nothing that only Node or Deno has. */
export function portableFaults(file: SourceFile): string[] {
  const faults: string[] = []
  if (!file.text.startsWith('// Portable: Web APIs only.\n'))
    faults.push(`${file.path}: the first line must say portable`)
  for (const target of file.imports) if (target.startsWith('node:')) faults.push(`${file.path} imports ${target}`)
  const code = withoutComments(file.text).replace(/'(?:[^'\\\n]|\\.)*'/g, "''")
  const strange = code.match(/(?<![.\w'-])(?:Buffer|process|Deno|Bun|__dirname|require)(?=[.([])/g)
  for (const name of new Set(strange)) faults.push(`${file.path} uses ${name}`)
  return faults
}

export function isPortable(path: string): boolean {
  return portableFolders.some((folder) => path.startsWith(`${folder}/`))
}

function homeOf(path: string): string | undefined {
  const homes = Object.keys(rules).filter((home) => path === home || path.startsWith(`${home}/`))
  return homes.toSorted((a, b) => b.length - a.length)[0]
}

function isAllowed(target: string, home: string): boolean {
  const { ours, packages } = rules[home] ?? { ours: [], packages: [] }
  if (/\.tsx?$|\.mjs$|\.json$/.test(target) && !target.startsWith('@')) {
    const own = home.endsWith('.ts') ? posix.dirname(home) : home
    return [own, ...ours].some((folder) => target === folder || target.startsWith(`${folder}/`))
  }
  return packages.some((name) =>
    name === '*' ? true : name === 'node:' ? target.startsWith(name) : target === name || target.startsWith(`${name}/`),
  )
}
