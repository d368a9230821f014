/** After these the NATS store may lack what it had acknowledged, and only after these: it syncs before it acknowledges. */
export const FORGETTING: ReadonlySet<string> = new Set(['nats_wiped', 'nats_rolled_back'])
