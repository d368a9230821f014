// Portable: Web APIs only.
//
// For how long a row that was read proves that no later attempt has begun, so that a reader may show what the attempt says
// without asking anybody: for what was left of the lease of its agent, and at most for this long. Who lets a job be tried
// again before the lease of its agent has run out (sweep.ts) keeps to the same time.
export const SURE_MS = 3_500
