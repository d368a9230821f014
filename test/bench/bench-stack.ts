// A stack for a benchmark that kills its parts: nats-server, control plane and agents as processes of their own, on an
// engine of its own in an isolated network, with the small test image.
import { removeContainers } from '../../deploy/engine-api.ts'
import { startEngine } from '../../deploy/engine.ts'
import { ensureImages } from '../../deploy/image.ts'
import { defaultStateDir } from '../../deploy/tools.ts'
import { claimFolder } from '../support/claim-folder.ts'
import { startStack, type Stack, type StackOptions } from '../support/stack.ts'

export async function withBenchStack<T>(
  options: Omit<StackOptions, 'engineSocket'>,
  work: (stack: Stack, image: string) => Promise<T>,
): Promise<T> {
  await using made = new AsyncDisposableStack()
  const folder = made.adopt(claimFolder(defaultStateDir(), 'bench-parts'), (it) => it.release())
  const engine = made.adopt(await startEngine({ stateDir: folder.path, network: 'isolated' }), (it) => it.stop())
  // A run that was killed may have left some.
  await removeContainers(engine.socketPath)
  const { busybox } = await ensureImages({ socketPath: engine.socketPath, stateDir: folder.path })
  const stack = made.adopt(await startStack({ ...options, engineSocket: engine.socketPath }), (it) => it.close())
  return await work(stack, busybox.image)
}
