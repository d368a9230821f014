# A newer Docker engine than that of older machines, beside the machine's own: Docker's log and events changed over the
# years, and tests show that jobs are taken over on both. Sourced by deploy/setup.sh.
#
# It is Debian 13's, with every package that it needs, unpacked into a folder of its own: no script of a package is run,
# and nothing of this machine is changed. deploy/in-root.sh starts it there.

newer_release=trixie

step_newer_engine() {
  into=$tools/newer-engine
  if [ -x "$into/usr/sbin/dockerd" ]; then found "newer engine: found in ${into#"$root"/}"; return; fi
  note "newer engine: fetching Debian's docker.io of $newer_release"
  fetch_newer_engine || { did "newer engine: cannot be fetched here; jobs are tested on the machine's own engine only"; return; }
  did "newer engine: fetched into ${into#"$root"/}"
}

fetch_newer_engine() {
  private_lists "$newer_release" || return 1
  # An empty list of installed packages: whatever it needs comes along, down to the C library.
  : > "$apt/status"
  rm -f "$apt"/cache/archives/*.deb
  run_logged private_apt -o "Dir::State::status=$apt/status" -q install --yes --no-install-recommends --download-only \
    docker.io tini || return 1
  rm -rf "$into" "$into.new"
  mkdir -p "$into.new/usr/bin" "$into.new/usr/sbin" "$into.new/usr/lib" "$into.new/usr/lib64" "$into.new/etc"
  for name in bin sbin lib lib64; do ln -s "usr/$name" "$into.new/$name"; done
  for package in "$apt"/cache/archives/*.deb; do run_logged dpkg -x "$package" "$into.new" || return 1; done
  # What the packages' scripts would have made.
  for name in iptables ip6tables; do ln -sf "$name-nft" "$into.new/usr/sbin/$name"; done
  mv "$into.new" "$into"
}
