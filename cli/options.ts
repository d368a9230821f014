// Values of command-line options, parsed once. What cannot be read is a usage error that names the option.

import { InvalidArgumentError } from 'commander'

/** "90", "90s", "15m", "1h30m", "2d" as seconds. */
export function parseSeconds(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text)
  const parts = /^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text)
  if (!parts || text === '') throw new InvalidArgumentError('give seconds, or a time such as "30m" or "1h30m"')
  const [days = 0, hours = 0, minutes = 0, seconds = 0] = parts.slice(1).map((part) => Number(part ?? 0))
  return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
}

export function parseWhole(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('give a whole number')
  return Number(text)
}

export function parseNumber(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) throw new InvalidArgumentError('give a number')
  return value
}

/** Docker's --gpus: a count. `all` has no meaning here, because it is not known which machine it will be. */
export function parseGpus(text: string): number {
  const count = /^(?:count=)?(\d{1,3})$/.exec(text)
  if (!count) throw new InvalidArgumentError('give how many, such as 1 or "count=2"')
  return Number(count[1])
}

/** Collects repeated K=V options. */
export function collectPairs(text: string, before: Record<string, string> | undefined): Record<string, string> {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('give it as KEY=VALUE')
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) }
}

/** As docker does: `-e K=V`, or `-e K` for the value that K has here; a name without a value here is left out. */
export function envCollector(env: Readonly<Record<string, string | undefined>>) {
  return (text: string, before: Record<string, string> | undefined): Record<string, string> => {
    if (text.includes('=')) return collectPairs(text, before)
    const value = env[text]
    return value === undefined ? { ...before } : { ...before, [text]: value }
  }
}
