// Portable: Web APIs only.
//
// A container's environment (PROTOCOL 6): job env > request.env > secrets > the agent's settings > the image's own
// (which Docker puts below all of these). Names that belong to the operator never reach a container.
import type { JobSpec } from './job-spec.ts'

/** Settings of the agent's own environment that jobs get when they are set there. */
export const PASSED_SETTINGS = [
  'OPENAI_API_KEY',
  'ANTHROPIC_API_KEY',
  'GEMINI_API_KEY',
  'HF_TOKEN',
  'REPLICATE_API_TOKEN',
  'ELEVENLABS_API_KEY',
  'FAL_API_KEY',
  'AIME_USER',
  'AIME_API_KEY',
  'GOOGLE_MAIL_USER',
  'GOOGLE_APP_PASSWORD',
  'SERPAPI_API_KEY',
  'BROWSER_URL',
  'DATA_FOR_SEO_LOGIN',
  'DATA_FOR_SEO_PASSWORD',
  'FONT_PATH',
  'COMFY_FOLDER',
  'CHROMA_PATH',
  'OLLAMA_API_URL',
] as const

const NEVER = /^(SERVER_AUTH_TOKEN|SECRETS_MASTER_KEY|GITHUB_CLIENT_.*|DRAY_.*)$/i
// The engine sets these from the leased devices; anybody else's would reach GPUs of other jobs.
const NVIDIA = /^NVIDIA_/i

/** The agent's settings for jobs: the known names and `extra` ones (DRAY_PASS_ENV), as far as they are set. */
export function agentSettings(
  environment: Readonly<Record<string, string | undefined>>,
  extra: readonly string[],
): Record<string, string> {
  const settings: Record<string, string> = {}
  for (const name of [...PASSED_SETTINGS, ...extra]) {
    const value = environment[name]
    if (value !== undefined && value !== '' && isPassable(name)) settings[name] = value
  }
  return settings
}

export interface EnvSources {
  readonly spec: Pick<JobSpec, 'env' | 'request'>
  /** Of the grant: the control plane's own, then the job's secrets. */
  readonly granted: Readonly<Record<string, string>>
  readonly secrets: Readonly<Record<string, string>>
  readonly settings: Readonly<Record<string, string>>
}

/** Docker's "NAME=value" list, sorted, without a name twice. */
export function containerEnv(sources: EnvSources): string[] {
  const merged = new Map<string, string>()
  const add = (env: Readonly<Record<string, string | number | boolean | null>>): void => {
    for (const [name, value] of Object.entries(env))
      if (isPassable(name) && value !== null) merged.set(name, String(value))
  }
  add(sources.settings)
  add(sources.secrets)
  add(sources.spec.request?.env ?? {})
  add(sources.spec.env)
  add(sources.granted)
  return [...merged].map(([name, value]) => `${name}=${value}`).toSorted()
}

function isPassable(name: string): boolean {
  return !NEVER.test(name) && !NVIDIA.test(name)
}
