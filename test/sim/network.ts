// Calls between processes on different machines, and what may happen to them: they are late, overtake each other, arrive
// twice, never arrive, or their answer does not. A partition is a set of one-way blocks between hosts. A process that dies
// resets the calls that it has not answered.
import type { Host, Loop, Proc } from './loop.ts'
import type { Prng } from './prng.ts'

/** What the weather does to calls; a fault changes it for a while. */
export interface Weather {
  lateMs: number
  dropChance: number
  answerLossChance: number
  repeatChance: number
}

export interface Network {
  readonly weather: Weather
  /** From the current process; rejects with ConnectionLost, or never settles. */
  call<T>(to: Proc, serve: () => Promise<T>): Promise<T>
  /** One way; false where it is lost. */
  send(from: Proc, to: Proc, run: () => void): boolean
  latencyMs(from: Host, to: Host): number
  isOpen(from: Host, to: Host): boolean
  block(from: Host, to: Host): void
  unblock(from: Host, to: Host): void
  /** Called after each change of the blocks. */
  onChange(callback: () => void): void
}

export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost'
}

export const FAIR: Weather = { lateMs: 0, dropChance: 0, answerLossChance: 0, repeatChance: 0 }

/** `wayMs`: what distance adds. */
export function createNetwork(loop: Loop, random: Prng, wayMs: (from: Host, to: Host) => number = () => 0): Network {
  const weather = { ...FAIR }
  /** How many blocks lie on each way. */
  const blocked = new Map<Host, Map<Host, number>>()
  const watchers: (() => void)[] = []
  const isOpen = (from: Host, to: Host): boolean => !blocked.get(from)?.has(to)
  const latencyMs = (from: Host, to: Host): number =>
    wayMs(from, to) + 0.2 + random.next() * 2 + (weather.lateMs > 0 ? random.next() * weather.lateMs : 0)
  const change = (from: Host, to: Host, by: number): void => {
    const ways = blocked.get(from) ?? new Map<Host, number>()
    blocked.set(from, ways)
    const count = (ways.get(to) ?? 0) + by
    if (count > 0) ways.set(to, count)
    else ways.delete(to)
    for (const watcher of watchers) watcher()
  }
  const isLost = (chance: number): boolean => chance > 0 && random.chance(chance)

  return {
    weather,
    call<T>(to: Proc, serve: () => Promise<T>): Promise<T> {
      const from = loop.current
      return new Promise<T>((resolve, reject) => {
        if (!to.alive) {
          loop.at(from, latencyMs(from.host, to.host), () => reject(new ConnectionLost('refused')))
          return
        }
        if (!isOpen(from.host, to.host) || isLost(weather.dropChance)) return
        const onDeath = (): void => {
          loop.at(from, latencyMs(to.host, from.host), () => reject(new ConnectionLost('reset')))
        }
        const answer = (deliver: () => void): void => {
          to.onDeath.delete(onDeath)
          if (isOpen(to.host, from.host) && !isLost(weather.answerLossChance))
            loop.at(from, latencyMs(to.host, from.host), deliver)
        }
        const arrive = (): void => {
          serve().then(
            (value) => answer(() => resolve(value)),
            (error: unknown) => answer(() => reject(error)),
          )
        }
        to.onDeath.add(onDeath)
        loop.at(to, latencyMs(from.host, to.host), arrive)
        if (isLost(weather.repeatChance)) loop.at(to, latencyMs(from.host, to.host) + 50, arrive)
      })
    },
    send(from, to, run) {
      if (!to.alive || !isOpen(from.host, to.host) || isLost(weather.dropChance)) return false
      loop.at(to, latencyMs(from.host, to.host), run)
      return true
    },
    latencyMs,
    isOpen,
    block: (from, to) => change(from, to, 1),
    unblock: (from, to) => change(from, to, -1),
    onChange: (callback) => void watchers.push(callback),
  }
}
