// Where the network of an engine of ours lives, and what it leaves behind.
//
// Three ways, best first:
//   bridge    in the machine's own network namespace with Docker's default bridge: containers reach the internet and
//             images can be pulled. Only where no other engine's bridge exists, because two engines fight over one.
//   isolated  in a namespace of its own with a bridge inside: containers start and have an address, but nothing
//             outside answers, and no image can be pulled.
//   none      in a namespace of its own without a bridge: for kernels that cannot do NAT.
// An engine with `--bridge none` in the machine's namespace would delete the machine's `docker0`, so that is never done.
//
// Docker turns IP forwarding on and closes the FORWARD chain. Both, and `docker0`, are put back when our engine stops;
// a note in the state folder makes the next start do it after a crash.

import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hasDevice, tryCommand } from './engine-process.ts'

export type EngineNetwork = 'bridge' | 'isolated' | 'none'

const forwardFile = '/proc/sys/net/ipv4/ip_forward'

/** The flags of dockerd and the command that it is started through. */
export function networkFlags(network: EngineNetwork): { through: string[]; flags: string[] } {
  const through = network === 'bridge' ? [] : ['unshare', '--net', '--']
  const off = ['--bridge', 'none', '--iptables=false', '--ip6tables=false', '--ip-forward=false', '--ip-masq=false']
  return { through, flags: ['--userland-proxy=false', ...(network === 'none' ? off : [])] }
}

/** Whether an engine can have its bridge in the machine's namespace without harm to anybody. */
export async function mayBridge(): Promise<boolean> {
  return !hasDevice('docker0') && (await tryCommand('iptables', ['-w', '5', '-t', 'nat', '-S'])) !== undefined
}

/** Notes how the machine forwards now, before the engine changes it. */
export async function noteForwarding(notePath: string): Promise<void> {
  const rules = (await tryCommand('iptables', ['-w', '5', '-S', 'FORWARD'])) ?? ''
  const forward = readFileSync(forwardFile, 'utf8').trim()
  writeFileSync(notePath, JSON.stringify({ forward, open: rules.includes('-P FORWARD ACCEPT') }))
}

/** Puts back what the note says and removes our bridge. Does nothing when there is no note. */
export async function restoreForwarding(notePath: string): Promise<void> {
  let note: { forward: string; open: boolean }
  try {
    note = JSON.parse(readFileSync(notePath, 'utf8')) as typeof note
  } catch {
    // No note: no engine of ours ever bridged here.
    return
  }
  await tryCommand('ip', ['link', 'delete', 'docker0'])
  if (note.forward === '0') writeFileSync(forwardFile, '0')
  if (note.open) await tryCommand('iptables', ['-w', '5', '-P', 'FORWARD', 'ACCEPT'])
  rmSync(notePath, { force: true })
}
