// The configuration of a workerd that runs our bundle as wrangler.toml says, beside it a little worker that fires the cron
// trigger.
//
// With `isolatePerRequest` each request of a client or an agent is served by an isolate that was loaded for it and is used
// for no other: all that a module keeps is new. A worker in front loads it by workerd's own loader of workers (`load`: what
// `get` loads under a name is never let go of, and workerd dies of the 330th). Those who follow a job are handed on to the
// bundle as it stands, because a Durable Object is not of one request.

export interface WorkerdSettings {
  readonly port: number
  readonly cronPort: number
  readonly bindings: Readonly<Record<string, string>>
  readonly isolatePerRequest: boolean
  /** A certificate to trust beside those that everybody trusts, as PEM. */
  readonly trusted: string | undefined
}

const FLAGS = `
  compatibilityDate = "2026-10-01",
  compatibilityFlags = ["nodejs_compat"],`

const FIRING = `export default {
  async fetch(_, env) { await env.DRAY.scheduled({ cron: '* * * * *' }); return new Response() }
}`

const LOADING = `export default {
  async fetch(request, env) {
    if (/^\\/v1\\/jobs\\/[^/]+\\/(stream|updates)$/.test(new URL(request.url).pathname)) return env.DRAY.fetch(request)
    const worker = env.LOADER.load({
      compatibilityDate: '2026-10-01',
      compatibilityFlags: ['nodejs_compat'],
      mainModule: 'worker.js',
      modules: { 'worker.js': env.CODE },
      env: JSON.parse(env.SETTINGS),
    })
    return worker.getEntrypoint().fetch(request)
  }
}`

/** `workerd.js` lies beside the file that this is written to. */
export function workerdConfig({ port, cronPort, bindings, isolatePerRequest, trusted }: WorkerdSettings): string {
  const tls = trusted === undefined ? '' : `, tlsOptions = (trustedCertificates = [${quoted(trusted)}])`
  const texts = Object.entries(bindings).map(([name, value]) => `(name = ${quoted(name)}, text = ${quoted(value)})`)
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "dray", worker = .dray),
    (name = "loading", worker = .loading),
    (name = "cron", worker = .cron),
    (name = "internet", network = (allow = ["public", "private"]${tls})),
  ],
  sockets = [
    (name = "http", address = "127.0.0.1:${port}", http = (), service = "${isolatePerRequest ? 'loading' : 'dray'}"),
    (name = "cron", address = "127.0.0.1:${cronPort}", http = (), service = "cron"),
  ],
);
const dray :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed "workerd.js")],${FLAGS}
  bindings = [(name = "RELAY", durableObjectNamespace = "JobRelay"), ${texts.join(', ')}],
  durableObjectNamespaces = [(className = "JobRelay", uniqueKey = "dray-relay")],
  durableObjectStorage = (inMemory = void),
  globalOutbound = "internet",
);
const loading :Workerd.Worker = (
  modules = [(name = "loading", esModule = ${quoted(LOADING)})],${FLAGS}
  bindings = [
    (name = "DRAY", service = "dray"),
    (name = "LOADER", workerLoader = (id = "requests")),
    (name = "CODE", text = embed "workerd.js"),
    (name = "SETTINGS", text = ${quoted(JSON.stringify(bindings))}),
  ],
  globalOutbound = "internet",
);
const cron :Workerd.Worker = (
  modules = [(name = "cron", esModule = ${quoted(FIRING)})],
  compatibilityDate = "2026-10-01",
  compatibilityFlags = ["service_binding_extra_handlers"],
  bindings = [(name = "DRAY", service = "dray")],
);
`
}

function quoted(text: string): string {
  return JSON.stringify(text)
}
