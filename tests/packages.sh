# Debian packages, and how to get them. Sourced by ./trillion, tests/run and .ci/run; says everything on standard error.
build_packages=(g++ cmake ninja-build libboost-dev libeigen3-dev libpugixml-dev libyaml-cpp-dev libcli11-dev libfmt-dev nlohmann-json3-dev)
test_packages=("${build_packages[@]}" libgtest-dev libgmock-dev python3)
ci_packages=("${test_packages[@]}" clang-format git libopenmpi-dev openmpi-bin)

# The command that a package is wanted for, where any version of it will do (a newer CMake in /usr/local, say).
command_of() {
  case $1 in
    g++ | cmake | python3 | clang-format | git) echo "$1" ;;
    ninja-build) echo ninja ;;
  esac
}

missing_packages() {
  local package tool
  for package in "$@"; do
    tool=$(command_of "$package")
    if [[ -n $tool ]]; then
      command -v "$tool" >/dev/null || echo "$package"
    else
      [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
    fi
  done
}

# Installs what is missing of the named packages. Without apt-get it goes on: CMake then says what it does not find.
install_packages() {
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "trillion: not a Debian-like system, nothing is installed; Debian 12 calls what is needed: $*" >&2
    return
  fi
  local missing as_root=()
  mapfile -t missing < <(missing_packages "$@")
  if ((${#missing[@]} == 0)); then return; fi
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
      echo "trillion: missing packages, and neither root nor sudo to install them. Ask for: apt-get install ${missing[*]}" >&2
      exit 1
    fi
    as_root=(sudo)
    if [[ ! -t 0 ]]; then as_root+=(-n); fi
  fi
  echo "trillion: installing ${missing[*]}" >&2
  # Package lists may be absent (a fresh container) or stale: install, and refresh the lists only if that fails.
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}")
  local log
  log=$(mktemp)
  if ! "${as_root[@]}" "${install[@]}" >"$log" 2>&1 </dev/null &&
    ! { "${as_root[@]}" apt-get update -q && "${as_root[@]}" "${install[@]}"; } >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    echo "trillion: could not install packages. Have them installed: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  rm -f "$log"
}
