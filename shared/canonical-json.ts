// Portable: Web APIs only.
//
// One text for each JSON value (RFC 8785): keys sorted by code unit, no spaces, numbers and strings as JSON.stringify
// writes them. Two bodies that differ in order and white space alone are the same body. It takes parsed JSON only.

export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).toSorted(byKey)
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(',')}}`
}

/** `<` compares code units, as RFC 8785 asks; localeCompare would not. */
function byKey([left]: readonly [string, unknown], [right]: readonly [string, unknown]): number {
  return left < right ? -1 : 1
}
