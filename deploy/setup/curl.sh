# curl, which the README's own lines use and therefore the tests that run them. Sourced by deploy/setup.sh.

step_curl() {
  if command -v curl > /dev/null 2>&1; then found "curl: found"; return; fi
  if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null 2>&1; then
    stop_with "the tests run the README's lines, which use curl" "sudo apt-get install curl   # or your system's way"
  fi
  note "curl: installing Debian's curl"
  run_logged install_packages curl || stop_with "Debian's curl could not be installed (above)"
  did "curl: installed"
}
