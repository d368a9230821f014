// What an engine's events say of one container, as Docker 20.10 writes them.

import { expect, test } from 'vitest'
import { memoryOf } from '../../runner-agent/engine/engine-memory.ts'

const event = (Action: string, ID: string, Type = 'container'): string =>
  `${JSON.stringify({ status: Action, id: ID, Type, Action, Actor: { ID, Attributes: {} }, scope: 'local' })}\n`
const load = event('load', 'sha256:1', 'image')
const others = (count: number): string => event('start', 'other').repeat(count)

test.each([
  ['a whole life under one engine', load + event('start', 'own') + event('die', 'own'), true, true],
  ['a kill by the engine that found it', event('kill', 'own') + event('die', 'own'), false, true],
  ['an end that no engine saw', load + others(200), false, false],
  ['an engine that has seen nothing yet', '', false, false],
  ['a start that is forgotten', others(255) + event('die', 'own'), null, true],
  ['a life that is forgotten', others(256), null, false],
  ['the latest of many', others(254) + event('start', 'own') + event('die', 'own'), true, true],
  ['an event of a form that nobody knows', '{"Action":1}\n', false, false],
])('%s', (_, events, sawStart, sawEnd) => {
  expect(memoryOf(events, 'own')).toEqual({ sawStart, sawEnd, sawOom: false })
})

test.each([['before'], ['after']])('a lack of memory told %s the end', (place) => {
  const [oom, die] = [event('oom', 'own'), event('die', 'own')]
  const events = event('start', 'own') + event('oom', 'other') + (place === 'before' ? oom + die : die + oom)
  expect(memoryOf(events, 'own')).toEqual({ sawStart: true, sawEnd: true, sawOom: true })
  expect(memoryOf(event('oom', 'other'), 'own')).toMatchObject({ sawOom: false })
})
