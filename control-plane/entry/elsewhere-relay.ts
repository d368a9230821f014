// The port Relay where nobody can be followed: on workerd that is for the job's Durable Object, so only requests that are
// refused before they follow anything meet this one.
import { AppError } from '../../shared/errors.ts'
import type { Relay } from '../core/relay.ts'

export const elsewhereRelay: Relay = {
  attach(_key, { sink }) {
    sink.close(1013, 'try again')
    return () => undefined
  },
  history: () => Promise.reject(new AppError('unavailable', 'Updates are not read here: try again.')),
  clientCount: () => 0,
  close: () => Promise.resolve(),
}
