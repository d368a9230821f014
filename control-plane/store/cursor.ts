// Portable: Web APIs only.
//
// Places in a list that is ordered by (time, id), newest first. Opaque to clients, so that the order may change one day.
import { AppError } from '../../shared/errors.ts'
import { isName } from '../../shared/ids.ts'

export interface Place {
  readonly atMs: number
  readonly id: string
}

export function writeCursor({ atMs, id }: Place): string {
  return btoa(`${atMs},${id}`).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

/** Throws AppError `bad_request` for anything that `writeCursor` did not make. */
export function readCursor(cursor: string): Place {
  const [, at, id] = /^(\d{1,15}),(.+)$/.exec(decode(cursor)) ?? []
  if (at === undefined || id === undefined || !isName(id))
    throw new AppError('bad_request', 'The cursor is not one that this list gave out.', {
      hint: 'Begin without a cursor, and pass on the cursor of each page as it came.',
    })
  return { atMs: Number(at), id }
}

function decode(cursor: string): string {
  try {
    return atob(cursor.replaceAll('-', '+').replaceAll('_', '/'))
  } catch {
    // Not base64: no cursor of ours, which the caller says.
    return ''
  }
}
