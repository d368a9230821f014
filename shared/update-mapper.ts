// Portable: Web APIs only.
//
// A line that a container printed becomes the updates that clients see (PROTOCOL 1, "stdout"). Nothing printed is
// dropped: what is no update of nodetool's is a log line. What a container says about itself never decides the job's
// end; `story` only remembers what the exit table (shared/outcome.ts) needs. Memory: one pending severity per stream,
// twenty lines of stderr, one result. It numbers nothing: the caller says which n comes next.
import { decodeUtf8, parseJsonLine, type TypedObject } from './json-lines.ts'
import { createContainerStory, type ContainerStory } from './container-story.ts'
import { severityOf, stderrLevel, type Severity } from './log-severity.ts'

export interface OutputLine {
  readonly stream: 'stdout' | 'stderr'
  /** Without the newline. */
  readonly bytes: Uint8Array
  /** A newline followed. */
  readonly eol: boolean
  /** 1 for an ordinary line; a line that is too long comes in pieces 1, 2, 3 … */
  readonly part?: number
  /** Another piece of the same line follows. */
  readonly continued?: boolean
  /** When it was read, in ms since 1970. */
  readonly at: number
}

/** An update as it is stored: `seq` and `attempt` are its place, which the reader knows from the message. */
export type UpdateBody = Readonly<Record<string, unknown>>

export interface UpdateMapperOptions {
  readonly jobId: string
  /** Of the request; fills a null `workflow_id`. */
  readonly workflowId: string | null
  /** False: every line is a log line, so that a client can give back every byte. */
  readonly parseUpdates: boolean
}

export interface UpdateMapper {
  /** The updates of one line, in order; the first one will get the number `n`. */
  map(line: OutputLine, n: number): readonly UpdateBody[]
  /** What the container has said about itself so far. */
  readonly story: ContainerStory
}

export function createUpdateMapper(options: UpdateMapperOptions): UpdateMapper {
  const story = createContainerStory()
  // A long line's pieces carry the severity of its beginning.
  const begun: Partial<Record<OutputLine['stream'], Severity>> = {}
  const clock = createIsoClock()

  const mapLog = (line: OutputLine, read: { text: string; lossy: boolean; at: string }): UpdateBody[] => {
    const first = (line.part ?? 1) === 1
    const severity = (first ? undefined : begun[line.stream]) ?? severityOf(line.stream, read.text)
    if (first && line.stream === 'stderr') story.sawStderr(read.text, stderrLevel(read.text))
    begun[line.stream] = severity
    const log = logUpdate(options.jobId, line, { ...read, severity })
    return first || line.continued ? [log] : [log, longLineWarning(options.jobId, line.stream, read.at)]
  }

  return {
    map(line, n) {
      const at = clock(line.at)
      const { text, lossy } = decodeUtf8(line.bytes)
      const whole = line.stream === 'stdout' && (line.part ?? 1) === 1 && !line.continued
      const parsed = whole && options.parseUpdates ? parseJsonLine(text) : undefined
      if (!parsed) return mapLog(line, { text, lossy, at })
      story.sawUpdate(parsed, n)
      return [relayed(parsed, options, line.eol, at)]
    },
    story,
  }
}

/** Lines come many to a millisecond, and writing the time costs more than reading a line. */
function createIsoClock(): (ms: number) => string {
  let lastMs = Number.NaN
  let last = ''
  return (ms) => {
    if (ms !== lastMs) {
      lastMs = ms
      last = new Date(Number.isFinite(ms) ? ms : 0).toISOString()
    }
    return last
  }
}

interface ReadLine {
  readonly text: string
  readonly lossy: boolean
  readonly severity: Severity
  readonly at: string
}

function logUpdate(jobId: string, line: OutputLine, read: ReadLine): UpdateBody {
  return {
    type: 'log_update',
    job_id: jobId,
    node_id: '',
    node_name: '',
    content: read.text,
    severity: read.severity,
    stream: line.stream,
    ...(read.lossy ? { bytes: base64(line.bytes) } : {}),
    ...(line.eol ? {} : { eol: false }),
    at: read.at,
  }
}

function longLineWarning(jobId: string, stream: string, at: string): UpdateBody {
  const content = `The line of ${stream} before this was longer than DRAY_MAX_LINE_BYTES: it came in pieces, as log lines.`
  return { type: 'log_update', job_id: jobId, node_id: '', node_name: '', content, severity: 'warning', at }
}

/** Names that say where an update stands; a container's own are kept beside ours. */
const OURS = ['seq', 'attempt', 'at'] as const

function relayed(parsed: TypedObject, options: UpdateMapperOptions, eol: boolean, at: string): UpdateBody {
  const update: Record<string, unknown> = { ...parsed }
  for (const name of OURS) {
    if (!Object.hasOwn(parsed, name)) continue
    update[`container_${name}`] = parsed[name]
    delete update[name]
  }
  const own = parsed['job_id']
  if (own !== undefined && own !== null && own !== options.jobId) update['container_job_id'] = own
  update['job_id'] = options.jobId
  if (parsed['workflow_id'] === null && options.workflowId) update['workflow_id'] = options.workflowId
  if (parsed.type === 'job_update') hideStatus(update, parsed)
  if (!eol) update['eol'] = false
  update['at'] = at
  return update
}

/** Only the control plane says how a job stands: a container's "completed" may be followed by exit 3. */
function hideStatus(update: Record<string, unknown>, parsed: TypedObject): void {
  if (Object.hasOwn(parsed, 'status')) update['container_status'] = parsed['status']
  update['status'] = 'running'
}

// Pieces: a spread of a whole line overflows the stack.
const BASE64_PIECE_BYTES = 0x6000

function base64(bytes: Uint8Array): string {
  let binary = ''
  for (let start = 0; start < bytes.length; start += BASE64_PIECE_BYTES)
    binary += String.fromCharCode(...bytes.subarray(start, start + BASE64_PIECE_BYTES))
  return btoa(binary)
}
