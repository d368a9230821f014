// `node deploy/pack-base.ts`: for an engine that reaches no registry. Packs the images that the Dockerfiles and the compose
// file would pull from this machine's own Node, packages and nats-server, and prints the settings that name them.
//
//   node deploy/pack-base.ts > .env && docker compose --env-file .env -f deploy/compose.yaml up --build

import { baseImage, loadBaseImages, natsImage } from './base-image.ts'
import { findEngine } from './engine-api.ts'

const socketPath = await findEngine(process.env)
if (socketPath === undefined) throw new Error('No Docker engine answers. Start one, or name its socket in DOCKER_HOST.')
await loadBaseImages(socketPath)
console.log(`BASE_IMAGE=${baseImage}\nNATS_IMAGE=${natsImage}`)
