// Runs a program that is not Node and ends it when this process's parent is gone (see parent-watch.ts).
// Used where `setpriv --pdeathsig` does not exist: node watched.ts PROGRAM ARGS…

import { spawn } from 'node:child_process'

const [program, ...args] = process.argv.slice(2)
if (program === undefined) throw new Error('usage: node watched.ts PROGRAM ARGS…')

const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'] })
const end = (): void => void child.kill('SIGTERM')
process.on('SIGTERM', end)
process.stdin.on('end', end).on('error', end).resume()
child.once('error', (error) => {
  console.error(error.message)
  process.exit(1)
})
child.once('exit', (code) => process.exit(code ?? 1))
