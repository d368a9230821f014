// When the NATS connection is opened anew with a newer JWT: a while before the one in use expires, with nothing in
// flight. An agent whose clock is wrong, or that got no newer JWT in time, loses its connection at the expiry instead
// and dials again; that costs a repeated request, never an update.

export interface RenewalOptions {
  readonly reconnect: () => void
  /** Requests that wait for an answer. */
  readonly inFlight: () => number
  readonly up: (signal: AbortSignal) => Promise<unknown>
}

export interface JwtRenewal {
  /** The connection was (re)opened with this JWT. */
  dialled(jwt: string): void
  /** A newer JWT is there for the next dial. */
  renewed(jwt: string): void
  /** Passes at once, unless a renewal is under way. */
  gate(signal: AbortSignal): Promise<void>
  close(): void
}

/** The last quarter of the JWT's life, between one second and one minute. */
const MARGIN = { share: 0.25, leastMs: 1_000, mostMs: 60_000 }
const DRAIN_MS = 1_000
const RECONNECT_MS = 5_000
const LOOK_EVERY_MS = 5

export function createJwtRenewal(options: RenewalOptions): JwtRenewal {
  const closing = new AbortController()
  let inUse = ''
  let newest = ''
  let timer: NodeJS.Timeout | undefined
  let switching: Promise<void> | null = null

  const renew = async (): Promise<void> => {
    const end = performance.now() + DRAIN_MS
    // Bounded by DRAIN_MS; what is still in flight then is asked again.
    while (options.inFlight() > 0 && performance.now() < end && !closing.signal.aborted)
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
    if (closing.signal.aborted) return
    options.reconnect()
    // nats.js tells of the disconnect in a later turn: until then `up` would name the old connection.
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
    await options.up(AbortSignal.any([closing.signal, AbortSignal.timeout(RECONNECT_MS)])).catch(() => undefined)
  }
  const schedule = (): void => {
    clearTimeout(timer)
    if (closing.signal.aborted || newest === '' || newest === inUse) return
    timer = setTimeout(
      () => {
        switching ??= renew().finally(() => {
          switching = null
        })
      },
      Math.max(0, renewAtMs(inUse) - Date.now()),
    )
  }
  return {
    dialled(jwt) {
      inUse = jwt
      schedule()
    },
    renewed(jwt) {
      newest = jwt
      schedule()
    },
    async gate(signal) {
      if (switching) await switching
      signal.throwIfAborted()
    },
    close() {
      closing.abort()
      clearTimeout(timer)
    },
  }
}

function renewAtMs(jwt: string): number {
  const { iat, exp } = claimsOf(jwt)
  const lifeMs = (exp - iat) * 1000
  const marginMs = Math.min(MARGIN.mostMs, Math.max(MARGIN.leastMs, lifeMs * MARGIN.share))
  // A longer timer than this overflows; it is set anew with the next JWT long before.
  return Math.min(exp * 1000 - marginMs, Date.now() + 2 ** 31 - 1)
}

/** The JWT is ours or useless; its signature is the server's business. */
function claimsOf(jwt: string): { iat: number; exp: number } {
  try {
    const claims = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>
    return { iat: Number(claims['iat'] ?? 0), exp: Number(claims['exp'] ?? Number.MAX_SAFE_INTEGER / 1000) }
  } catch {
    // Unreadable: the server will refuse it, and the next heartbeat brings another.
    return { iat: 0, exp: 0 }
  }
}
