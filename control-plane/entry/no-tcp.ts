// Stands for @nats-io/transport-node in the bundle for workerd (wrangler.toml), which brings its own way to dial.
export function connect(): never {
  throw new Error('There is no TCP here: give createNatsBus a way to dial')
}
