// Portable: Web APIs only.
//
// For objects that live as long as a job or a connection and tell how far they are: plain fields, which their maker keeps
// up to date and everybody else only reads. A getter in the literal would look the same and cost more: V8 keeps what it
// closes over (queues, buffers) until its next major collection, however short the object lived.

export type Writable<T> = { -readonly [Key in keyof T]: T[Key] }
