// Portable: Web APIs only.
//
// Every name that may become part of a NATS subject, a path or a container name matches one pattern, so none of
// them can hold a dot, a wildcard, a slash or a line break. Ids that we make are UUID v7: they sort by age, which is
// what keyset pages and "priority, then age" need.
import { v7 } from 'uuid'
import { z } from 'zod'

/** Source of the rule: PROTOCOL 3. One token of a NATS subject, one path segment, at most 63 characters. */
export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/

export const nameSchema = z.string().regex(NAME_PATTERN, {
  error: 'must begin with a letter or digit and hold at most 63 letters, digits, "_" or "-"',
})

export function isName(value: string): boolean {
  return NAME_PATTERN.test(value)
}

export type IdKind = 'job' | 'agt' | 'key' | 'jtk' | 'req' | 'trn'

/** A new sortable id such as `job_0199f…`; 36 characters at most, always a valid name. */
export function newId(kind: IdKind): string {
  return `${kind}_${v7().replaceAll('-', '')}`
}

/** 32 random bytes as base64url: what API keys, agent keys and join tokens are made of. */
export function newSecret(prefix: 'dray' | 'agent' | 'join'): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32))
  const base64 = btoa(String.fromCharCode(...bytes))
  return `${prefix}_${base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')}`
}

/** SHA-256 as hex. Keys are 32 random bytes, so no slow hash is needed to store them. */
export async function sha256Hex(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}
