# npm packages, exactly those of package-lock.json. Sourced by deploy/setup.sh.
#
# node_modules keeps a copy of the lock file that it was installed from, written last: a missing or different copy means
# "install again", which also repairs an interrupted run. A development install serves the purposes that need less.

step_packages() {
  full=node_modules/.dray-lock-full.json
  lean=node_modules/.dray-lock-lean.json
  if same "$full" || { [ -n "$omit" ] && same "$lean"; }; then
    found "packages: found"
    return
  fi
  command -v npm > /dev/null 2>&1 || stop_with "npm is missing" "apt-get install --yes nodejs npm   # Node 20 or newer"
  note "packages: installing with npm ci"
  # npm ci begins by removing node_modules, and with it the Node that `npm run` put first on PATH.
  outer_path=$PATH
  PATH=$(path_without "$root/node_modules")
  export PATH
  run_logged npm ci --no-progress --cache "$(npm_cache)" $omit || stop_with "npm ci failed (above)"
  PATH=$outer_path
  export PATH
  [ -x node_modules/.bin/node ] || stop_with "there is no Node 24 package for this machine" "install Node 24 and put it first on PATH"
  copy=$full
  [ -z "$omit" ] || copy=$lean
  cp package-lock.json "$copy"
  did "packages: installed${omit:+ without development tools}"
}

same() { [ -f "$1" ] && cmp -s package-lock.json "$1"; }

# npm's own cache where it can be written, else one beside our state.
npm_cache() {
  cache=${npm_config_cache:-${HOME:-/nonexistent}/.npm}
  if mkdir -p "$cache/_cacache" 2> /dev/null && [ -w "$cache/_cacache" ]; then echo "$cache"; else echo "$state/npm-cache"; fi
}

path_without() {
  kept=
  rest=$PATH:
  while [ -n "$rest" ]; do
    entry=${rest%%:*}
    rest=${rest#*:}
    case $entry in "$1" | "$1"/*) ;; *) kept=$kept${kept:+:}$entry ;; esac
  done
  printf '%s' "$kept"
}
