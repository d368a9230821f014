// An update as one line for people. Everything but the container's log lines, which log-bytes.ts gives back as they were.
//
// Values come from containers: control characters are shown, not obeyed, and long values are cut with a word about it.

import { isGap, isStateFrame, isTerminalUpdate, type Frame } from '../../shared/update.ts'
import { durationText } from './time-text.ts'

const maxValueChars = 500

type Fields = Readonly<Record<string, unknown>>

/** Undefined where there is nothing to say: state frames, and log lines of the container. */
export function updateText(frame: Frame): string | undefined {
  if (isGap(frame)) return `(${frame.to - frame.from + 1} updates are no longer stored: ${frame.from} to ${frame.to})`
  if (isStateFrame(frame)) return undefined
  if (isTerminalUpdate(frame)) return endText(frame)
  const render = renderers[frame.type as keyof typeof renderers] as ((fields: Fields) => string | undefined) | undefined
  return Object.hasOwn(renderers, frame.type) && render
    ? render(frame)
    : `${clean(frame.type)} ${valueText(bare(frame))}`
}

const renderers = {
  job_update: (update: Fields) => {
    const status = text(update['container_status']) || text(update['phase']) || text(update['status'])
    return joined(`job ${status}`, text(update['message']), text(update['error']))
  },
  node_update: (update: Fields) =>
    joined(`node ${nameOf(update)} ${text(update['status'])}`, text(update['error']), shown(update['result'])),
  node_progress: (update: Fields) => `node ${nameOf(update)} ${text(update['progress'])}/${text(update['total'])}`,
  edge_update: (update: Fields) =>
    joined(
      `edge ${text(update['edge_id'])} ${text(update['status'])}`,
      update['counter'] === null ? '' : text(update['counter']),
    ),
  output_update: (update: Fields) =>
    `output ${text(update['output_name']) || nameOf(update)} = ${valueText(update['value'])}`,
  preview_update: (update: Fields) => `preview ${nameOf(update)} = ${valueText(update['value'])}`,
  save_update: (update: Fields) => `saved ${text(update['name'])} = ${valueText(update['value'])}`,
  log_update: (update: Fields) =>
    update['stream'] === undefined ? `${text(update['severity'])}: ${text(update['content'])}` : undefined,
  notification: (update: Fields) => `${text(update['severity'])}: ${text(update['content'])}`,
  chunk: (update: Fields) => `chunk ${valueText(update['content'])}${update['done'] === true ? ' (last)' : ''}`,
  error: (update: Fields) => `error ${text(update['message']) || text(update['error'])}`,
}

function endText(end: { readonly [key: string]: unknown; readonly duration: number }): string {
  const error = end['error'] as { code?: unknown; message?: unknown } | undefined
  const how = joined(
    `job ${text(end['status'])} after ${durationText(end.duration)}`,
    error && text(error.code),
    error && text(error.message),
  )
  return end['result'] === undefined ? how : `${how}\nresult ${valueText(end['result'])}`
}

function nameOf(update: Fields): string {
  return text(update['node_name']) || text(update['node_id'])
}

/** The update without what stands on every one. */
function bare(update: Fields): Fields {
  const { type: _type, job_id: _job, attempt: _attempt, at: _at, seq: _seq, ...rest } = update
  return rest
}

function shown(value: unknown): string {
  return value === undefined || value === null ? '' : valueText(value)
}

function joined(...parts: readonly (string | undefined)[]): string {
  return parts.filter(Boolean).join(': ')
}

function text(value: unknown): string {
  if (value === undefined || value === null) return ''
  return clean(typeof value === 'string' ? value : JSON.stringify(value))
}

export function valueText(value: unknown): string {
  const json = JSON.stringify(value) ?? 'null'
  return json.length <= maxValueChars ? json : `${json.slice(0, maxValueChars)}… (${json.length} characters)`
}

/** Shows control characters, line ends and tabs apart, instead of letting a terminal obey them. */
function clean(value: string): string {
  let safe = ''
  for (const char of value) {
    const code = char.codePointAt(0) ?? 0
    const obeyed = (code < 0x20 && char !== '\n' && char !== '\t') || (code >= 0x7f && code < 0xa0)
    safe += obeyed ? `\\x${code.toString(16).padStart(2, '0')}` : char
  }
  return safe
}
