#!/usr/bin/env node
// The `dray` command. Only switches on Node's cache of compiled modules, which halves the start-up time, before anything
// else is loaded. The cache lies in the state folder, so that nothing is left elsewhere; where it cannot be written,
// everything works without it.

import { enableCompileCache } from 'node:module'
import { join } from 'node:path'

enableCompileCache(join(process.env['DRAY_STATE'] || join(import.meta.dirname, '..', '.dray'), 'compile-cache'))

const { main } = await import('./program.ts')
await main(process.argv.slice(2))
