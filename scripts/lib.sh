# Shell helpers shared by the scripts: where things live, how progress is said.
# Sourced, never run; works with bash 3.2.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${NDC_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/nomad-driver-container}
# Everything that is built must be found by the tools that use it, so a Go that
# `scripts/setup` put into the cache comes first.
if [ -x "$cache/go/bin/go" ]; then PATH=$cache/go/bin:$PATH; fi

say() { printf '==> %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

cores() {
  if have nproc; then nproc; else sysctl -n hw.ncpu; fi
}

# sha256 FILE: prints the digest alone.
sha256() {
  if have sha256sum; then sha256sum "$1" | cut -d' ' -f1; else shasum -a 256 "$1" | cut -d' ' -f1; fi
}

# fetch_debian_source PACKAGE ARCHIVE DIGEST FILE: downloads the upstream archive that belongs to
# Debian's source package of PACKAGE, from wherever apt gets its packages.
fetch_debian_source() {
  local uri
  uri=$(cd "$(dirname "$4")" && apt-get download --print-uris "$1" | sed -n "s/^'\([^']*\)'.*/\1/p" | head -n 1)
  [ -n "$uri" ] || die "apt knows no $1: run 'apt-get update' first"
  uri=${uri%/*}/$2
  say "fetching $2"
  if have curl; then curl -fsSL --retry 3 -o "$4" "$uri"; else wget -q -O "$4" "$uri"; fi
  [ "$(sha256 "$4")" = "$3" ] || die "$2 has an unexpected checksum"
}

# with_progress LABEL COMMAND...: runs a long command quietly into a log, says
# every 15 seconds that it is still at work, shows the log's end on failure.
with_progress() {
  local label=$1 log start pid status=0
  shift
  log=$(mktemp "${TMPDIR:-/tmp}/ndc-log.XXXXXX")
  start=$SECONDS
  say "$label"
  "$@" >"$log" 2>&1 &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 1
    if (((SECONDS - start) % 15 == 0)); then
      note "$((SECONDS - start)) s: $(tail -n 1 "$log" | cut -c1-90)"
    fi
  done
  wait "$pid" || status=$?
  if ((status != 0)); then
    tail -n 40 "$log" >&2
    rm -f "$log"
    die "$label failed (exit $status)"
  fi
  rm -f "$log"
  note "done in $((SECONDS - start)) s"
}

# need_fit_host: asks the program of $preset (release, if that is not set); ends with the doctor's
# table where tasks cannot run on this host.
need_fit_host() {
  local table
  table=$("$root/build/${preset:-release}/bin/nomad-driver-container" doctor "$@") || {
    printf '%s\n' "$table" >&2
    die "this host cannot run tasks: the table above says what is missing"
  }
}
