# Talking, waiting and the lock. Sourced by deploy/setup.sh.

# The step's own words, without a newline: "found" says that nothing had to be done.
found() { verdict=found; words=$1; }
did() { verdict=did; words=$1; }

# Runs step_<name> and prints its one line with the seconds that it took.
step() {
  began=$(now)
  verdict=; words=
  "step_$1"
  if [ "$verdict" = did ] || [ -z "$quiet" ]; then
    printf 'setup: %s (%s s)\n' "$words" "$(elapsed "$began")" >&2
  fi
}

# Uptime in hundredths of a second where the kernel tells it, else whole seconds.
now() {
  if [ -r /proc/uptime ]; then
    read -r up _ < /proc/uptime
    echo "${up%.*}${up#*.}"
  else
    echo "$(date +%s)00"
  fi
}

elapsed() {
  hundredths=$(($(now) - $1))
  printf '%d.%d' $((hundredths / 100)) $((hundredths % 100 / 10))
}

note() { printf 'setup: %s\n' "$1" >&2; }

# stop_with WHAT COMMAND: says what is missing and what the person can run.
stop_with() {
  printf 'setup: %s\n' "$1" >&2
  [ -z "${2:-}" ] || printf 'setup: run this, then try again:\n\n    %s\n\n' "$2" >&2
  exit 1
}

# Runs a long command as a child that a signal to us ends too; its output goes to a log that is shown if it fails.
run_logged() {
  log=$state/setup.log
  "$@" > "$log" 2>&1 < /dev/null &
  child=$!
  if wait "$child"; then child=; return 0; fi
  child=
  tail -n 20 "$log" >&2
  return 1
}

# Debian's packages by name, with lists that may be missing or stale. Takes root.
install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  [ -n "$(ls /var/lib/apt/lists/*Packages* 2> /dev/null)" ] || apt-get -q update
  apt-get -q install --yes --no-install-recommends "$@" ||
    { apt-get -q update && apt-get -q install --yes --no-install-recommends "$@"; }
}

interrupted() {
  if [ -n "$child" ]; then
    kill -TERM "$child" 2> /dev/null || true
    wait "$child" 2> /dev/null || true
  fi
  exit "$1"
}

# One set-up at a time. The kernel frees a flock when its holder dies; without flock a folder is the lock, and a holder
# that no longer runs loses it.
take_lock() {
  if command -v flock > /dev/null 2>&1; then
    exec 9> "$state/setup.lock"
    flock -n 9 && return
    note "another set-up is running; waiting for it"
    flock 9
    return
  fi
  told=
  until mkdir "$state/setup.lock.d" 2> /dev/null; do
    holder=$(cat "$state/setup.lock.d/pid" 2> /dev/null || true)
    if [ -n "$holder" ] && ! kill -0 "$holder" 2> /dev/null; then rm -rf "$state/setup.lock.d"; continue; fi
    [ -n "$told" ] || note "another set-up is running; waiting for it"
    told=1
    sleep 1
  done
  echo $$ > "$state/setup.lock.d/pid"
  trap 'rm -rf "$state/setup.lock.d"' EXIT
}
