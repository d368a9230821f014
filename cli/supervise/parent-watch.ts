// Loaded into each Node child with `--import`: when the parent is gone, whatever killed it, the child ends too.
//
// The parent holds the other end of the child's stdin and never writes to it. The kernel closes that end with the
// parent, and the child then asks itself to end as it would on SIGTERM; what does not end in time is cut off.

const graceMs = 8_000

process.stdin.on('end', endWithParent).on('error', endWithParent).resume()
// Watching alone keeps no process alive.
;(process.stdin as { unref?: () => void }).unref?.()

let ending = false

function endWithParent(): void {
  if (ending) return
  ending = true
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), graceMs).unref()
  process.kill(process.pid, 'SIGTERM')
}
