// The parts of an image's name, as Docker reads them. Pure; the engine remains the judge of what is valid.

export type ImageName = {
  /** Without tag and digest: what the engine wants beside them. */
  repository: string
  /** A tag or a digest; "latest" where the name has neither. */
  tag: string
  /** The key of its registry in Docker's own configuration. */
  registry: string
}

const DOCKER_HUB = 'https://index.docker.io/v1/'

export const parseImageName = (image: string): ImageName => {
  const digestAt = image.indexOf('@')
  const named = digestAt < 0 ? image : image.slice(0, digestAt)
  // A colon before the last slash belongs to the registry's port.
  const tagAt = named.indexOf(':', named.lastIndexOf('/') + 1)
  const repository = tagAt < 0 ? named : named.slice(0, tagAt)
  const ownTag = tagAt < 0 ? 'latest' : named.slice(tagAt + 1)
  return { repository, tag: digestAt < 0 ? ownTag : image.slice(digestAt + 1), registry: registryOf(repository) }
}

const registryOf = (repository: string): string => {
  const slash = repository.indexOf('/')
  const first = repository.slice(0, Math.max(slash, 0))
  const isHost = first === 'localhost' || first.includes('.') || first.includes(':')
  return isHost && first !== 'docker.io' ? first : DOCKER_HUB
}
