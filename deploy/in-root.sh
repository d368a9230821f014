#!/bin/sh
# Runs a command in a root of its own, as the machine's kernel has it:
#
#   sh in-root.sh ROOT RUN FOLDER... -- COMMAND...
#
# RUN is /run inside: an engine that is started again finds the sockets of its containers there. Each FOLDER is the same
# inside as outside, so that what the command makes there is seen from both sides. The mounts are of this process alone and
# go with it. Needs root.
set -eu

if [ "${DRAY_IN_ROOT:-}" != 1 ]; then
  DRAY_IN_ROOT=1 exec unshare --mount --propagation slave -- sh "$0" "$@"
fi
unset DRAY_IN_ROOT

root=$1
run=$2
shift 2
# Docker unpacks images in a root of its own again, which takes one that is a mount.
mount --bind "$root" "$root"
mkdir -p "$run" "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount --bind "$run" "$root/run"
while [ "$1" != -- ]; do
  mkdir -p "$root$1"
  mount --rbind "$1" "$root$1"
  shift
done
shift
exec chroot "$root" "$@"
