// Portable: Web APIs only.
//
// Turns what zod found wrong into sentences for people: where, what was given, and how it should be. Several findings
// are listed under `errors`; the first is the problem's `detail`.
import type { z } from 'zod'
import { AppError } from '../../shared/errors.ts'

export interface FieldError {
  /** As a client would write it: `resources.gpus.count`, `graph.nodes[3].id`; empty for the whole value. */
  readonly path: string
  readonly detail: string
}

const MAX_LISTED = 20
const MAX_QUOTED = 80

type Issue = z.core.$ZodIssue

/** `subject` names what was read: "The body", "The query". */
export function badRequest(subject: string, error: z.ZodError): AppError {
  const errors = error.issues.flatMap((issue) => fieldErrors(issue, [])).slice(0, MAX_LISTED)
  const [first] = errors
  const detail = first?.detail ?? 'it is not as it should be'
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more, see "errors")` : ''
  return new AppError('bad_request', `${subject} is not valid: ${detail}${more}.`, {
    details: errors.length > 1 ? { errors } : {},
  })
}

function fieldErrors(issue: Issue, parent: readonly PropertyKey[]): FieldError[] {
  const at = [...parent, ...issue.path]
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({
      path: pathText([...at, key]),
      detail: `unknown key ${quote(pathText([...at, key]))}`,
    }))
  if (issue.code === 'invalid_union') return unionErrors(issue, at)
  const path = pathText(at)
  if (issue.code === 'invalid_key') return [{ path, detail: `the key ${quote(path)} ${requirement(issue.issues[0])}` }]
  return [{ path, detail: sentence(path, issue) }]
}

/** Of several forms, the one that fits best: the one whose errors lie deepest; else all of them in one sentence. */
function unionErrors(issue: z.core.$ZodIssueInvalidUnion, at: readonly PropertyKey[]): FieldError[] {
  const deepest = issue.errors.find((branch) =>
    branch.some((inner) => inner.path.length > 0 || inner.code === 'unrecognized_keys'),
  )
  if (deepest) return deepest.flatMap((inner) => fieldErrors(inner, at))
  const specific = issue.errors.flat().find((inner) => inner.code !== 'invalid_type')
  if (specific) return fieldErrors(specific, at)
  const kinds = issue.errors.flatMap(([inner]) => (inner?.code === 'invalid_type' ? [inner.expected] : []))
  const path = pathText(at)
  return [{ path, detail: `${named(path)} is ${quote(issue.input)}, but must be ${kinds.join(' or ')}` }]
}

function sentence(path: string, issue: Issue): string {
  const rule = requirement(issue)
  if (issue.code === 'invalid_type' && issue.input === undefined) return `${named(path)} is missing: it ${rule}`
  const given = typeof issue.input === 'object' && issue.input !== null ? '' : `is ${quote(issue.input)}, but `
  return `${named(path)} ${given}${rule}`
}

function named(path: string): string {
  return path === '' ? 'it' : `"${path}"`
}

/** "must be …", from the schema's own words where it has some. */
function requirement(issue: Issue | undefined): string {
  if (!issue) return 'must be something else'
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${article(issue.expected)}`
    case 'invalid_value':
      return `must be ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.map((value) => quote(value)).join(', ')}`
    case 'too_small':
      return size(issue.origin, 'at least', issue.minimum)
    case 'too_big':
      return size(issue.origin, 'at most', issue.maximum)
    case 'invalid_format':
      return issue.message.startsWith('Invalid') ? `must be ${issue.format}` : issue.message
    default:
      return issue.message.startsWith('Invalid') ? 'is not valid' : issue.message
  }
}

function size(origin: string, bound: string, limit: number | bigint): string {
  const units: Readonly<Record<string, string>> = { string: ' characters', array: ' items', record: ' keys' }
  return units[origin] === undefined ? `must be ${bound} ${limit}` : `must have ${bound} ${limit}${units[origin]}`
}

function article(type: string): string {
  if (type === 'int') return 'a whole number'
  if (type === 'record') return 'an object'
  return /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`
}

function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`
    return text === '' ? String(part) : `${text}.${String(part)}`
  }, '')
}

function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text
}
