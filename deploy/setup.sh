#!/bin/sh
# Makes this checkout ready for a purpose: packages, nats-server, a static BusyBox, the Docker engine's program.
#
#   sh deploy/setup.sh [--quiet] demo|start|dray|check|test
#
# It says what it does, in one line a step on stderr (with --quiet only what it had to do), does nothing twice, and where it
# may not do something it prints the exact command for you and exits 1. Needs POSIX sh, Node 20 or newer and npm. Without
# root it installs nothing system-wide. Everything it fetches lies in node_modules and in .dray (or $DRAY_STATE); only the
# Docker engine, and what the tests need beside it, come as Debian packages. It starts nothing: the engine is started by who
# needs it (deploy/engine.ts).
set -eu

quiet=
if [ "${1:-}" = --quiet ]; then quiet=1; shift; fi
purpose=${1:-}
case $purpose in
  demo | start | dray) omit=--omit=dev ;;
  check | test) omit= ;;
  *) echo "usage: sh deploy/setup.sh [--quiet] demo|start|dray|check|test" >&2; exit 2 ;;
esac

here=$(dirname -- "$0")
cd -- "$here/.."
root=$PWD
state=${DRAY_STATE:-$root/.dray}
tools=$state/tools
child=

. deploy/setup/common.sh
. deploy/setup/packages.sh
. deploy/setup/tools.sh
. deploy/setup/engine.sh
. deploy/setup/test-programs.sh
. deploy/setup/newer-engine.sh

trap 'interrupted 130' INT
trap 'interrupted 143' TERM
trap 'interrupted 129' HUP

mkdir -p "$state" "$tools" || stop_with "cannot write to \"$state\"" "DRAY_STATE=/a/folder/of/yours npm run $purpose"
take_lock
step packages
# The tools decide on the machine, not on the purpose's code, so a check does without them.
if [ "$purpose" != check ]; then
  step nats_server
  step busybox
  step engine
  if [ "$purpose" = test ]; then step curl; step compose; step newer_engine; fi
  rm -rf "$state/apt"
fi
