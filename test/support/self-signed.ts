// A certificate for 127.0.0.1 and localhost that signs itself, made with nothing but Node: for servers of a test that speak
// TLS. Valid from yesterday until tomorrow. What is written is plain DER (X.680), as short as X.509 allows.
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface SelfSigned {
  readonly certFile: string
  readonly keyFile: string
  /** The certificate as PEM, for those who are to trust it. */
  readonly pem: string
}

const DAY_MS = 86_400_000
const OIDS = {
  commonName: '550403',
  ecdsaWithSha256: '2a8648ce3d040302',
  basicConstraints: '551d13',
  subjectAltName: '551d11',
} as const

/** Writes both files into `folder`. */
export async function makeSelfSigned(folder: string): Promise<SelfSigned> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = sequence(oid('ecdsaWithSha256'))
  const body = sequence(
    tagged(0xa0, tagged(0x02, Buffer.of(2))),
    tagged(0x02, Buffer.concat([Buffer.of(1), randomBytes(8)])),
    algorithm,
    commonName('dray test'),
    sequence(time(Date.now() - DAY_MS), time(Date.now() + DAY_MS)),
    commonName('dray test'),
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(extension('basicConstraints', sequence(tagged(0x01, Buffer.of(0xff)))), names())),
  )
  const signature = Buffer.concat([Buffer.of(0), sign('sha256', body, privateKey)])
  const base64 = sequence(body, algorithm, tagged(0x03, signature)).toString('base64')
  const lines = base64.match(/.{1,64}/g) ?? []
  const pem = `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
  const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  await writeFile(certFile, pem)
  await writeFile(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  return { certFile, keyFile, pem }
}

/** Over an address without a name nats.js asks Node for no host, and Node then checks for "localhost". */
function names(): Buffer {
  return extension(
    'subjectAltName',
    sequence(tagged(0x82, Buffer.from('localhost')), tagged(0x87, Buffer.of(127, 0, 0, 1))),
  )
}

function extension(name: keyof typeof OIDS, value: Buffer): Buffer {
  return sequence(oid(name), tagged(0x04, value))
}

function commonName(text: string): Buffer {
  return sequence(tagged(0x31, sequence(oid('commonName'), tagged(0x0c, Buffer.from(text)))))
}

function time(atMs: number): Buffer {
  const text = new Date(atMs).toISOString().replaceAll(/[-:T]|\.\d+/g, '')
  return tagged(0x17, Buffer.from(text.slice(2)))
}

function oid(name: keyof typeof OIDS): Buffer {
  return tagged(0x06, Buffer.from(OIDS[name], 'hex'))
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(parts))
}

function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.of(tag, ...size), content])
}
