// Portable: Web APIs only.
//
// What is remembered of the stream UPDATES, so that a store that was wiped or put back is noticed and said (DESIGN 1: loss
// is never hidden). Nothing is decided by it: readers find out for themselves what is gone.
export interface StreamSeen {
  /** When it was created, as it tells itself. */
  readonly created: string
  /** Its last sequence. */
  readonly lastSeq: number
}

export type StreamChange = 'first' | 'recreated' | 'rolled back'

export interface StreamLedger {
  /** What was noted last; null before the first time. */
  lastStream(): Promise<StreamSeen | null>
  /**
   * Notes what is there now. `before` was read before `now` was looked at. Returns what changed for whoever noted it
   * first, and null for everybody else and where it only went on.
   */
  noteStream(before: StreamSeen | null, now: StreamSeen): Promise<StreamChange | null>
}
