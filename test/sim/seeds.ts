// Seeds that once found a bug in the real parts, with what they showed. They are run before everything else, each time.

export interface KnownSeed {
  readonly seed: number
  readonly showed: string
}

export const SEEDS: readonly KnownSeed[] = [
  { seed: 378, showed: "the rest of a finished container's lines was thrown away when its output was read anew" },
  { seed: 24_371, showed: 'a GPU was leased while a lost attempt that nobody had told of still used it' },
  { seed: 104_045, showed: 'an agent that claimed after a long silence was lapsed in front of its first beat' },
  { seed: 203_884, showed: 'the late first beat of a dead process superseded the living one' },
  { seed: 218_692, showed: 'the late first beat of a dead process superseded the living one' },
  { seed: 637_309, showed: 'the late first beat of a dead process superseded the living one' },
  { seed: 611_079, showed: 'readers were told of a gap where the end was the first word after a long silence' },
  { seed: 1_553, showed: 'late updates of an old attempt were shown while the row of the relay was old' },
  { seed: 41_142, showed: 'late updates of an old attempt were shown while the row of the relay was old' },
  { seed: 206_712, showed: 'late updates of an old attempt were shown while the row of the relay was old' },
  { seed: 505_403, showed: 'late updates of an old attempt were shown while the row of the relay was old' },
  { seed: 629_932, showed: 'late updates of an old attempt were shown while the row of the relay was old' },
  { seed: 41_000_230, showed: 'a process whose first claim nobody answered used numbers again that clients had read' },
  {
    seed: 70_041_446,
    showed: 'a container that a lost start had begun was removed unread when its engine stayed away',
  },
  {
    seed: 70_038_578,
    showed: 'a container that a lost start had begun was removed unread when its engine stayed away',
  },
  {
    seed: 70_055_186,
    showed: 'a container that a lost start had begun was removed unread when its engine stayed away',
  },
  { seed: 70_050_202, showed: 'a new process removed a container that the old one had just started' },
  { seed: 70_069_285, showed: 'of two new processes one lost sight of a container that the other had made anew' },
  {
    seed: 70_047_786,
    showed: 'a retry cut off what was still being published while the database was slow for a lease',
  },
  {
    seed: 80_068_866,
    showed: 'late updates of an old attempt were shown after the stream had lost where the next one began',
  },
]

/** Of schedules over several regions. */
export const REGION_SEEDS: readonly KnownSeed[] = [
  { seed: 28_983, showed: 'a container lived beyond its lost_after by the way of the last answer to its agent' },
  { seed: 106_443, showed: 'the lease of a healthy agent ran out after three seconds without any control plane' },
]
