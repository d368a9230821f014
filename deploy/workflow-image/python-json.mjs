// Writes JSON as Python's `json.dumps` does: ", " and ": " between, ASCII only, bare NaN and Infinity.
//
// Bytes become `{"__type__": "bytes", "base64": …}`, as nodetool's own default function makes them.

export function dumps(value) {
  if (value === null || value === undefined) return 'null'
  if (typeof value === 'number') return Number.isFinite(value) ? JSON.stringify(value) : String(value)
  if (typeof value === 'string') return quoted(value)
  if (typeof value === 'boolean') return String(value)
  if (value instanceof Uint8Array) return dumps({ __type__: 'bytes', base64: Buffer.from(value).toString('base64') })
  if (Array.isArray(value)) return `[${value.map(dumps).join(', ')}]`
  return `{${Object.entries(value)
    .map(([key, inner]) => `${quoted(key)}: ${dumps(inner)}`)
    .join(', ')}}`
}

/** The name of the Python type that such a value has in nodetool. */
export function pythonType(value) {
  if (value === null || value === undefined) return 'NoneType'
  if (typeof value === 'string') return 'str'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float'
  if (value instanceof Uint8Array) return 'bytes'
  return Array.isArray(value) ? 'list' : 'dict'
}

function quoted(text) {
  return JSON.stringify(text).replace(
    /[\u0080-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
