# The Docker engine: one that answers, or at least the program to start one. Sourced by deploy/setup.sh.

step_engine() {
  if socket=$(answering_socket); then
    # Tests use an engine of their own, so that they cannot harm the containers of anybody.
    if [ "$purpose" != test ]; then found "docker: an engine answers at $socket"; return; fi
  fi
  if [ -n "${DOCKER_HOST:-}" ] && [ "$purpose" != test ]; then
    stop_with "no Docker engine answers at DOCKER_HOST \"$DOCKER_HOST\"" "unset DOCKER_HOST   # or start that engine"
  fi
  if engine_program; then found "docker: dockerd is installed; it is started when needed"; return; fi
  if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null 2>&1; then cannot_install; fi
  note "docker: installing Debian's docker.io"
  run_logged install_packages docker.io iproute2 iptables util-linux || stop_with "Debian's docker.io could not be installed (above)"
  engine_program || stop_with "docker.io is installed, but there is no dockerd"
  did "docker: installed docker.io; dockerd is started when needed"
}

# Says what this person can do, for the machine it is.
cannot_install() {
  missing="no Docker engine answers"
  [ "$purpose" != test ] || missing="the tests start a Docker engine of their own, which takes root on Linux"
  case $(uname -s) in
    Darwin) stop_with "$missing" "open -a Docker   # Docker Desktop, OrbStack or colima" ;;
  esac
  command -v apt-get > /dev/null 2>&1 || stop_with "$missing; install Docker with your system's packages and start it"
  [ "$(id -u)" = 0 ] || stop_with "$missing" "sudo npm run $purpose   # or start an engine that you may use"
}

engine_program() {
  [ "$(id -u)" = 0 ] || return 1
  for program in dockerd containerd runc unshare; do
    command -v "$program" > /dev/null 2>&1 || [ -x "/usr/sbin/$program" ] || return 1
  done
}

# Asks with Node, which is the one thing that is certainly here.
answering_socket() {
  for socket in ${DOCKER_HOST:+"${DOCKER_HOST#unix://}"} /var/run/docker.sock; do
    [ -S "$socket" ] || continue
    if node deploy/setup/ping.mjs "$socket" 2> /dev/null; then echo "$socket"; return 0; fi
  done
  return 1
}
