// The login for a registry, as "docker login" stored it for the user that runs the agent. The engine keeps no logins: a
// client sends one with each pull. Only plain entries are read; a machine whose logins live in a credential helper pulls
// without one.

import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** The value of the header X-Registry-Auth, or undefined where nobody logged in. */
export const registryLogin = async (registry: string, configFolder = defaultFolder()): Promise<string | undefined> => {
  const text = await readFile(join(configFolder, 'config.json'), 'utf8').catch(() => undefined)
  // No file is the usual case: nobody logged in.
  if (text === undefined) return undefined
  const login = loginIn(text, registry)
  return login === undefined ? undefined : Buffer.from(JSON.stringify(login)).toString('base64url')
}

type Login =
  | { username: string; password: string; serveraddress: string }
  | { identitytoken: string; serveraddress: string }

type StoredLogin = { auth?: string; identitytoken?: string }

const loginIn = (text: string, registry: string): Login | undefined => {
  const { auths } = JSON.parse(text) as { auths?: Record<string, StoredLogin> }
  const stored = auths?.[registry] ?? auths?.[`https://${registry}`]
  if (stored?.identitytoken) return { identitytoken: stored.identitytoken, serveraddress: registry }
  if (!stored?.auth) return undefined
  const plain = Buffer.from(stored.auth, 'base64').toString('utf8')
  const colon = plain.indexOf(':')
  return { username: plain.slice(0, colon), password: plain.slice(colon + 1), serveraddress: registry }
}

const defaultFolder = (): string => process.env['DOCKER_CONFIG'] ?? join(homedir(), '.docker')
