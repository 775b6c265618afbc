# Part of tools/with-setup: CRIU, from wherever this machine can get it, recorded in $tools/criu.json (core/tools.ts reads
# it). Older ones do not dump what current kernels have. Uses say, fail, need_lists and tools/setup-newer.sh.

criu_needed=4.2

install_criu() {
  [ -z "${PICOGATE_CRIU:-}" ] || return 0 # named by the user
  if [ -e "$tools/criu.json" ]; then
    recorded=$(sed -n 's/^{"argv": \["\([^"]*\)".*/\1/p' "$tools/criu.json")
    [ -z "$recorded" ] || [ ! -x "$recorded" ] || return 0
  fi
  use_system_criu || use_packaged_criu || use_newer_criu ||
    fail "cannot get CRIU $criu_needed or newer that passes 'criu check': tried this machine's own, its packages, and newer Debian releases (see above). Build it from source and name it with PICOGATE_CRIU=/path/to/criu"
}

use_system_criu() {
  system=$(PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" command -v criu) || return 1
  new_enough "$("$system" --version | sed -n 's/^Version: *//p')" || return 1
  "$system" check >/dev/null 2>&1 || {
    say "$system does not pass 'criu check'"
    return 1
  }
  record_criu "$system"
}

# The package of this machine's own release, when that is new enough.
use_packaged_criu() {
  need_lists
  new_enough "$(candidate criu)" || return 1
  say 'installing Debian package: criu ...'
  apt_install criu && use_system_criu
}

# The package of a newer release, with the libraries it needs, in a directory of our own; it is started through that
# directory's own loader, so that the system's libraries stay as they are.
use_newer_criu() {
  mirror=$(debian_mirror)
  [ -n "$mirror" ] || {
    say 'no Debian mirror in the configuration of apt'
    return 1
  }
  for suite in "$(codename)-backports" stable stable-backports testing unstable; do
    use_criu_of "$suite" && return 0
  done
  return 1
}

# shellcheck disable=SC1091
codename() { (. /etc/os-release && printf '%s' "${VERSION_CODENAME:-stable}"); }

use_criu_of() {
  work=$tools/criu-unpacking
  say "looking for CRIU in Debian $1 ..."
  got=1
  if open_release "$1" "$work" && version=$(candidate criu) && new_enough "$version"; then
    say "downloading CRIU $version ..."
    unpack_packages "$work" criu && use_unpacked_criu && got=0
  fi
  close_release "$work"
  return "$got"
}

use_unpacked_criu() {
  prefix=$tools/criu-$(plain "$version")
  rm -rf "$prefix"
  mv "$work/prefix" "$prefix"
  loader=$(loader_of "$prefix")
  libraries=$(libraries_of "$prefix")
  found=$("$loader" --library-path "$libraries" "$prefix/usr/sbin/criu" check 2>&1) || {
    printf '%s\n' "$found" >&2
    say "CRIU $version does not pass 'criu check' on this kernel ($(uname -r))"
    return 1
  }
  record_criu "$loader" --library-path "$libraries" "$prefix/usr/sbin/criu"
}

new_enough() { at_least "$1" "$criu_needed"; }

# One line of JSON, put in place in one step. The arguments need no escaping: with-setup has checked $tools.
record_criu() {
  list=
  for part in "$@"; do list="$list${list:+, }\"$part\""; done
  printf '{"argv": [%s]}\n' "$list" >"$tools/criu.json.new"
  mv "$tools/criu.json.new" "$tools/criu.json"
}
