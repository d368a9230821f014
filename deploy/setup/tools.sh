# Two programs that this machine may not have: a new nats-server and a static BusyBox (for the sample image). Sourced by
# deploy/setup.sh.
#
# On Debian they are taken out of the newest packages through private apt lists: the system's own lists and packages stay as
# they are, and no root is needed. The mirror is the one that this machine already uses. Elsewhere they are copied out of
# the official images, if a Docker engine and its command line are there.

# Agents can crash older servers with one message (see docs), and they cannot be told to write before they acknowledge.
oldest_nats=2.10.28

step_nats_server() {
  if ours=$(new_enough_nats nats-server); then found "nats-server: found $ours on PATH"; return; fi
  if ours=$(new_enough_nats "$tools/nats-server"); then found "nats-server: found $ours in ${tools#"$root"/}"; return; fi
  note "nats-server: fetching a new one"
  fetch_from_sid nats-server usr/sbin/nats-server nats-server ||
    fetch_from_image nats:2-alpine /usr/local/bin/nats-server nats-server ||
    stop_with "no nats-server $oldest_nats or newer, and it cannot be fetched here" "$(nats_hint)"
  ours=$(new_enough_nats "$tools/nats-server") || stop_with "the fetched nats-server does not run here or is too old" "$(nats_hint)"
  did "nats-server: fetched $ours into ${tools#"$root"/}"
}

step_busybox() {
  if [ -x "$tools/busybox" ]; then found "busybox: found"; return; fi
  if [ "$(uname -s)" != Linux ]; then found "busybox: not needed, images are built from a registry here"; return; fi
  note "busybox: fetching a static build"
  if fetch_from_sid busybox-static usr/bin/busybox busybox || fetch_from_image busybox:musl /bin/busybox busybox; then
    did "busybox: fetched into ${tools#"$root"/}"
    return
  fi
  did "busybox: cannot be fetched here; the sample image will be built from a registry"
}

new_enough_nats() {
  version=$("$1" --version 2> /dev/null) || return 1
  version=${version##*v}
  lowest=$(printf '%s\n%s\n' "$oldest_nats" "$version" | sort -t . -k 1,1n -k 2,2n -k 3,3n | head -n 1)
  [ "$lowest" = "$oldest_nats" ] || return 1
  echo "$version"
}

nats_hint() {
  case $(uname -s) in
    Darwin) echo "brew install nats-server" ;;
    *) echo "cp /your/nats-server $tools/nats-server   # from github.com/nats-io/nats-server/releases" ;;
  esac
}

# fetch_from_sid PACKAGE PATH_INSIDE NAME: into a temporary folder, then moved into place, so that nothing is ever half there.
fetch_from_sid() {
  private_lists sid || return 1
  rm -rf "$apt/new"
  mkdir -p "$apt/new/root"
  run_logged in_folder "$apt/new" private_apt -q download "$1/sid" || return 1
  dpkg -x "$apt/new/$1"_*.deb "$apt/new/root" || return 1
  # Older and newer packages differ in whether /bin is a folder of its own.
  inside=$apt/new/root/$2
  [ -f "$inside" ] || inside=$apt/new/root/${2#usr/}
  [ -f "$inside" ] || return 1
  mv "$inside" "$tools/$3.new" && mv "$tools/$3.new" "$tools/$3"
  rm -rf "$apt/new"
}

# fetch_from_image IMAGE PATH_INSIDE NAME: both images hold programs that need no libraries.
fetch_from_image() {
  [ "$(uname -s)" = Linux ] && command -v docker > /dev/null 2>&1 || return 1
  run_logged docker pull --quiet "$1" || return 1
  container=$(docker create "$1") || return 1
  copied=0
  docker cp --follow-link "$container:$2" "$tools/$3.new" > /dev/null && mv "$tools/$3.new" "$tools/$3" || copied=1
  docker rm "$container" > /dev/null
  return "$copied"
}

# private_lists RELEASE: where private_apt looks from now on.
private_lists() {
  command -v apt-get > /dev/null 2>&1 && command -v dpkg > /dev/null 2>&1 || return 1
  mirror=$(debian_mirror) || return 1
  apt=$state/apt
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -f "$keyring" ] || keyring=${keyring%.gpg}.pgp
  [ -f "$keyring" ] || return 1
  [ "${apt_release:-}" = "$1" ] && return
  echo "deb [signed-by=$keyring] $mirror $1 main" > "$apt/sources.list"
  run_logged private_apt -q update || return 1
  apt_release=$1
}

# Signatures are checked; the age of the list is not, since mirrors of a fixed day are common and we look at the version.
private_apt() {
  apt-get -o Acquire::Check-Valid-Until=false -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=- \
    -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o Acquire::Languages=none -o APT::Sandbox::User= "$@"
}

in_folder() { (cd "$1" && shift && "$@"); }

# The first address that this machine's own sources give for Debian itself, not for its security updates.
debian_mirror() {
  found_mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2> /dev/null |
    sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([a-z+]*:[^ ]*\/debian\/\{0,1\}\) .*/\2/p' | head -n 1)
  [ -n "$found_mirror" ] || found_mirror=$(cat /etc/apt/sources.list.d/*.sources 2> /dev/null |
    sed -n 's/^URIs: *\([^ ]*\/debian\/\{0,1\}\)\( .*\)\{0,1\}$/\1/p' | head -n 1)
  [ -n "$found_mirror" ] || return 1
  echo "$found_mirror"
}
