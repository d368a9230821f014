# An agent: `docker build -f deploy/agent.Dockerfile -t dray-agent .` in the root of the repository. It starts containers
# on the engine whose socket is mounted, so it is as mighty as root on that machine. Jobs are beside it, not inside it.
ARG BASE=node:24-slim
FROM ${BASE} AS packages
WORKDIR /dray
COPY package.json package-lock.json .npmrc ./
# A base that brings the packages of this very lock file (deploy/base-image.ts) asks no registry.
RUN cmp -s package-lock.json node_modules/.dray-lock-lean.json || npm ci --omit=dev

FROM ${BASE}
WORKDIR /dray
COPY --from=packages /dray/node_modules node_modules
COPY package.json ./
COPY shared shared
COPY runner-agent runner-agent
COPY cli cli
COPY deploy deploy
# Its keys: who it is. Without the volume each new container would be a new agent.
RUN mkdir -m 0700 /var/lib/dray-agent
VOLUME /var/lib/dray-agent
ENV DRAY_STATE=/var/lib/dray-agent DOCKER_HOST=unix:///var/run/docker.sock
ENV NODE_OPTIONS="--max-semi-space-size=4 --max-old-space-size=1024"
ENV MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=131072 MALLOC_TRIM_THRESHOLD_=131072
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "cli/main.ts"]
CMD ["agent"]
