# Two programs that only the tests need: curl, which the README's own lines use, and docker-compose for deploy/compose.yaml
# where Docker's plugin is missing. Sourced by deploy/setup.sh.

step_curl() {
  if command -v curl > /dev/null 2>&1; then found "curl: found"; return; fi
  install_for_tests curl "the tests run the README's lines, which use curl"
}

step_compose() {
  if docker compose version > /dev/null 2>&1 || command -v docker-compose > /dev/null 2>&1; then
    found "docker compose: found"
    return
  fi
  install_for_tests docker-compose "the tests run deploy/compose.yaml"
}

# install_for_tests PACKAGE WHY
install_for_tests() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null 2>&1; then
    stop_with "$2" "sudo apt-get install $1   # or your system's way"
  fi
  note "$1: installing Debian's $1"
  run_logged install_packages "$1" || stop_with "Debian's $1 could not be installed (above)"
  did "$1: installed"
}
