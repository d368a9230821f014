// A log_update back into the bytes that the container printed. The reverse of what the agent's mapper does:
// `content` is the line as text, `bytes` its base64 where it was not UTF-8, `eol: false` says that no newline followed.

import type { Frame } from '../../shared/update.ts'

export interface LogBytes {
  readonly stream: 'stdout' | 'stderr'
  readonly bytes: Uint8Array
}

/** Undefined for everything that the container did not print, such as a remark of the agent's. */
export function logBytesOf(frame: Frame): LogBytes | undefined {
  if (frame.type !== 'log_update' || !('seq' in frame)) return undefined
  const { stream, content, bytes, eol } = frame as Record<string, unknown>
  if (stream !== 'stdout' && stream !== 'stderr') return undefined
  const line =
    typeof bytes === 'string' ? Buffer.from(bytes, 'base64') : Buffer.from(typeof content === 'string' ? content : '')
  return { stream, bytes: eol === false ? line : Buffer.concat([line, newline]) }
}

const newline = Buffer.from('\n')
