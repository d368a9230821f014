// What keeps the memory of a process from growing with time, in its environment, because none can set it for itself. The
// images and units of this folder set the same. Measured over 20 minutes and 4,600 jobs (`npm run chaos -- --soak`).

/**
 * Without it nats-server keeps what readers fetched from its store until Go feels like collecting: its memory grew with the
 * store, to 793 MiB at 430 MB; with it, it stayed at 270 MiB.
 */
export const NATS_SERVER_ENV = { GOMEMLIMIT: '256MiB' }

/**
 * V8 doubles the room for new objects when a burst fills it, up to 128 MiB, and keeps it. It lets the old ones grow to
 * four times of what lives before it collects them; where less than 2 GiB are allowed, to less: with 1 GiB 1.6 times
 * (18 MiB that live took 67 before, 47 now). glibc learns from each large buffer that is freed to take the next ones from
 * its heap, which may leave holes. Other C libraries do not know these names.
 */
export const NODE_PROCESS_ENV = {
  NODE_OPTIONS: '--max-semi-space-size=4 --max-old-space-size=1024',
  MALLOC_ARENA_MAX: '2',
  MALLOC_MMAP_THRESHOLD_: '131072',
  MALLOC_TRIM_THRESHOLD_: '131072',
}
