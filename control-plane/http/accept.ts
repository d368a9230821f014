// Portable: Web APIs only.
//
// Which of several media types a client wants (RFC 9110, 12.5.1): the highest q, then the first that it names.

interface Range {
  readonly type: string
  readonly quality: number
}

/** The first of `offered` is the default: for no header, and for one that names none of them. */
export function preferredType<T extends string>(accept: string | undefined, offered: readonly [T, ...T[]]): T {
  const ranges = (accept ?? '')
    .split(',')
    .map(parseRange)
    .filter(({ quality }) => quality > 0)
    .toSorted((left, right) => right.quality - left.quality)
  for (const { type } of ranges) {
    const match = offered.find((offer) => type === offer || type === '*/*' || type === `${offer.split('/')[0]}/*`)
    if (match) return match
  }
  return offered[0]
}

function parseRange(text: string): Range {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase())
  const given = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2)
  const quality = given === undefined ? 1 : Number(given)
  return { type, quality: Number.isNaN(quality) ? 0 : quality }
}
