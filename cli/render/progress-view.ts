// What a running job looks like in a few lines: its phase, an image pull, its nodes. Fed with frames, asked for lines.

import { isGap, isStateFrame, isTerminalUpdate, type Frame } from '../../shared/update.ts'
import { durationText, sizeText } from './time-text.ts'

interface NodeView {
  name: string
  status: string
  progress: number | undefined
  total: number | undefined
}

const maxNodes = 8
const barCells = 20

export interface ProgressView {
  see(frame: Frame): void
  /** Empty once the job has ended. */
  lines(nowMs: number): string[]
}

export function createProgressView(id: string, startedAtMs: number): ProgressView {
  const nodes = new Map<string, NodeView>()
  let phase = 'queued'
  let detail = ''
  let ended = false

  const nodeOf = (frame: Record<string, unknown>): NodeView => {
    const key = String(frame['node_id'])
    const node = nodes.get(key) ?? { name: key, status: '', progress: undefined, total: undefined }
    nodes.set(key, node)
    return node
  }
  return {
    see(frame) {
      const fields = frame as Record<string, unknown>
      if (isGap(frame)) return
      if (isTerminalUpdate(frame)) ended = true
      else if (isStateFrame(frame)) {
        if (frame.phase !== phase) detail = ''
        phase = frame.cancel_requested ? `stopping (${frame.phase})` : frame.phase
      } else if (frame.type === 'job_update' && fields['phase'] === 'pulling') detail = pullText(fields)
      else if (frame.type === 'node_update') {
        const node = nodeOf(fields)
        node.status = String(fields['status'])
        if (typeof fields['node_name'] === 'string' && fields['node_name'] !== '') node.name = fields['node_name']
      } else if (frame.type === 'node_progress') {
        Object.assign(nodeOf(fields), { progress: numberOf(fields['progress']), total: numberOf(fields['total']) })
      }
    },
    lines(nowMs) {
      if (ended) return []
      const head = ` ${id}  ${phase}${detail}  ${durationText((nowMs - startedAtMs) / 1000)}`
      const shown = [...nodes.values()].slice(-maxNodes)
      const hidden = nodes.size - shown.length
      return [head, ...shown.map(nodeLine), ...(hidden > 0 ? [`   and ${hidden} more nodes`] : [])]
    },
  }
}

function nodeLine(node: NodeView): string {
  const { progress, total } = node
  const state = node.status.padEnd(10)
  if (progress === undefined || !total) return ` ${state} ${node.name}`
  const part = Math.min(1, Math.max(0, progress / total))
  const full = Math.round(part * barCells)
  return ` ${state} ${node.name}  [${'#'.repeat(full)}${'.'.repeat(barCells - full)}] ${Math.round(part * 100)} %`
}

/** The agent's pull progress: {current, total} bytes where the registry told them. */
export function pullText(update: Readonly<Record<string, unknown>>): string {
  const { current, total } = (update['progress'] ?? {}) as { current?: unknown; total?: unknown }
  if (typeof current !== 'number' || typeof total !== 'number' || total <= 0) return ''
  return ` ${sizeText(current)} of ${sizeText(total)}`
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined
}
