// Versions of the programs below a container, compared with the first fixed release of each line. Pure.

export type Version = readonly [major: number, minor: number, patch: number]

/** "20.10.24+dfsg1" and "1.1.5+ds1-1+deb12u1" alike; undefined for what is no version. */
export const parseVersion = (text: string): Version | undefined => {
  const match = /^v?(\d+)\.(\d+)(?:\.(\d+))?(?=$|[^0-9])/.exec(text)
  return match === null ? undefined : [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)]
}

/**
 * Whether a version has a fix that was released on several lines: it is at least the fix of its own line (major.minor),
 * or newer than the newest line named. What cannot be read is taken as not fixed.
 */
export const isAtLeast = (text: string, fixedIn: readonly string[]): boolean => {
  const version = parseVersion(text)
  if (version === undefined) return false
  const fixes = fixedIn.map(parseVersion).filter((fix) => fix !== undefined)
  const ownLine = fixes.find((fix) => fix[0] === version[0] && fix[1] === version[1])
  if (ownLine !== undefined) return version[2] >= ownLine[2]
  return fixes.every((fix) => isNewer(version, fix))
}

const isNewer = (left: Version, right: Version): boolean => {
  const differing = left.findIndex((part, index) => part !== right[index])
  return differing >= 0 && (left[differing] ?? 0) > (right[differing] ?? 0)
}
