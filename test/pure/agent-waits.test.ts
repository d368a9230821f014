// What a wait of the agent ends with: the reason says whether the container stays for the next process or goes.
import { expect, test } from 'vitest'
import { ControlPlaneAway, untilAnswered } from '../../runner-agent/control-plane-client.ts'
import { createJobControl, leavesContainer } from '../../runner-agent/job-control.ts'

test('a process that goes while the control plane is away leaves its container to the next one', async () => {
  const control = createJobControl()
  const asking = untilAnswered(() => {
    setTimeout(() => control.detach(), 5)
    return Promise.reject(new ControlPlaneAway('away'))
  }, control.letGo)
  const error: unknown = await asking.catch((reason: unknown) => reason)
  expect(leavesContainer(error)).toBe(true)
})
