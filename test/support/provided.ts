// What the global set-up gives to tests: `inject('engineSocket')` and so on (see global-setup.ts).

declare module 'vitest' {
  interface ProvidedContext {
    /** Unix socket of a real Docker engine that this test run owns. */
    engineSocket: string
    /** dockerd's process id: `/proc/<pid>/ns/net` is the engine's network namespace. */
    enginePid: number
    natsServerPath: string
    workflowImage: string
    busyboxImage: string
  }
}

export {}
