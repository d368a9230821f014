// Real containers for tests, made as the agent makes them: stdin open once, and a log that holds everything.
//
// `await using container = await createContainer(…)` removes the container at the end of the test, whatever happened.

import type { Engine } from '../../runner-agent/engine/engine-client.ts'
import type { HostConfig } from 'dockerode'

export interface ContainerRequest {
  engine: Engine
  image: string
  /** For `sh -c`; or give `command`. */
  script?: string
  command?: string[]
  user?: string
  workdir?: string
  host?: HostConfig
  driver?: 'local' | 'json-file'
}

export interface TestContainer extends AsyncDisposable {
  readonly id: string
}

let made = 0

export async function createContainer(request: ContainerRequest): Promise<TestContainer> {
  const { engine, image, script, command = ['sh', '-c', script ?? 'true'], user, workdir, host, driver } = request
  made += 1
  const { id } = await engine.createContainer(`test-${process.pid}-${Date.now()}-${made}`, {
    Image: image,
    Cmd: command,
    OpenStdin: true,
    StdinOnce: true,
    ...(user === undefined ? {} : { User: user }),
    ...(workdir === undefined ? {} : { WorkingDir: workdir }),
    HostConfig: { NetworkMode: 'none', LogConfig: logConfig(driver ?? 'local'), ...host },
  })
  return { id, [Symbol.asyncDispose]: () => engine.removeContainer(id) }
}

const logConfig = (driver: 'local' | 'json-file') => ({
  Type: driver,
  Config: driver === 'local' ? { 'max-size': '500m', 'max-file': '1', compress: 'false' } : { 'max-size': '500m' },
})

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

/**
 * A script that prints `count` lines on each stream, with lengths from 0 to 40,000 that `seed` decides, and ends in the
 * middle of a line; and exactly what it prints, computed here by the same rule.
 */
export function manyLines(count: number, seed: number): { script: string; stdout: string[]; stderr: string[] } {
  const awk = `BEGIN {
    filler = sprintf("%40000s", ""); gsub(/ /, "x", filler); seed = ${seed}
    for (n = 1; n <= ${count}; n++) { line("/dev/stdout"); line("/dev/stderr") }
    printf "tail" > "/dev/stdout"
  }
  function line(to) {
    seed = (seed * 75 + 74) % 65537
    length_of = seed % 16 == 0 ? 16370 + seed % 30 : seed % 8 == 0 ? seed % 40001 : seed % 120
    print (length_of > 9 ? n " " : "") substr(filler, 1, length_of) > to
  }`
  const stdout: string[] = []
  const stderr: string[] = []
  let state = seed
  const line = (n: number): string => {
    state = (state * 75 + 74) % 65537
    const length = state % 16 === 0 ? 16370 + (state % 30) : state % 8 === 0 ? state % 40001 : state % 120
    return (length > 9 ? `${n} ` : '') + 'x'.repeat(length)
  }
  for (let n = 1; n <= count; n += 1) {
    stdout.push(line(n))
    stderr.push(line(n))
  }
  return { script: `awk '${awk}'`, stdout: [...stdout, 'tail'], stderr }
}
