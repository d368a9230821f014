// Signs a NATS JWT with the platform's own Ed25519 (Node, Deno, workerd). @nats-io/jwt signs with tweetnacl, which
// blocks its thread for 16 ms a mint; this takes well under one, and every agent's heartbeat may ask for a JWT.

export interface SigningKey {
  /** Public key: the JWT's issuer. */
  readonly id: string
  readonly seed: string
}

/** The fixed head of a PKCS #8 document that holds an Ed25519 private key of 32 bytes. */
const PKCS8_HEAD = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20]

export async function signJwt(key: SigningKey, claims: Readonly<Record<string, unknown>>): Promise<string> {
  const head = base64Url(bytesOf(JSON.stringify({ typ: 'JWT', alg: 'ed25519-nkey' })))
  const body = base64Url(bytesOf(JSON.stringify({ ...claims, iss: key.id, jti: crypto.randomUUID() })))
  const document = new Uint8Array([...PKCS8_HEAD, ...rawSeed(key.seed)])
  const privateKey = await crypto.subtle.importKey('pkcs8', document, 'Ed25519', false, ['sign'])
  const signature = await crypto.subtle.sign('Ed25519', privateKey, bytesOf(`${head}.${body}`))
  return `${head}.${body}.${base64Url(new Uint8Array(signature))}`
}

/** An nkey seed is base32 of two bytes of prefix, the 32 bytes that count, and two of checksum. */
function rawSeed(seed: string): Uint8Array {
  const bytes: number[] = []
  let held = 0
  let bits = 0
  for (const letter of seed) {
    held = (held << 5) | 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter)
    bits += 5
    if (bits < 8) continue
    bits -= 8
    bytes.push((held >> bits) & 0xff)
    held &= (1 << bits) - 1
  }
  return Uint8Array.from(bytes.slice(2, 34))
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text)
}

function base64Url(bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes))
  return text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}
