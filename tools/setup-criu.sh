# Part of tools/with-setup: CRIU, from wherever this machine can get it, recorded in $tools/criu.json (core/tools.ts reads
# it). Older ones do not dump what current kernels have. Uses say, fail, quietly, need_lists.

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
  new_enough "$(candidate)" || return 1
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

# Of the first source whose label is Debian's own (not its security archive, nor another publisher).
debian_mirror() {
  apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian \([^ ]*\)$/\1/p' | head -n 1
}

# The version that apt would install; $apt_options chooses among which.
# shellcheck disable=SC2086
candidate() { LC_ALL=C apt-cache ${apt_options:-} policy criu 2>/dev/null | sed -n 's/^ *Candidate: *//p'; }

new_enough() { [ -n "$1" ] && [ "$1" != '(none)' ] && dpkg --compare-versions "$1" ge "$criu_needed"; }

use_criu_of() {
  work=$tools/criu-unpacking
  rm -rf "$work"
  mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/etc/preferences.d" "$work/etc/apt.conf.d" "$work/prefix"
  : >"$work/status"
  for key in /usr/share/keyrings/debian-archive-keyring.pgp /usr/share/keyrings/debian-archive-keyring.gpg; do
    [ -e "$key" ] && break
  done
  echo "deb [signed-by=$key] $mirror $1 main" >"$work/etc/sources.list"
  apt_options="-o Dir::State::lists=$work/lists -o Dir::State::status=$work/status -o Dir::Cache=$work -o Dir::Cache::archives=$work/archives"
  apt_options="$apt_options -o Dir::Etc=$work/etc -o Dir::Etc::sourcelist=$work/etc/sources.list -o Dir::Etc::sourceparts=-"
  apt_options="$apt_options -o APT::Sandbox::User=root -o APT::Install-Recommends=false -o Acquire::Retries=3 -o Acquire::Languages=none"
  say "looking for CRIU in Debian $1 ..."
  got=1
  # shellcheck disable=SC2086
  if apt-get $apt_options -q -q update >/dev/null 2>&1 && version=$(candidate) && new_enough "$version"; then
    say "downloading CRIU $version ..."
    quietly apt-get $apt_options -q install -y --download-only criu && unpack_criu && got=0
  fi
  apt_options=
  rm -rf "$work"
  return "$got"
}

unpack_criu() {
  for name in bin sbin lib lib64; do # as on a system with merged /usr, whether or not the packages assume one
    mkdir -p "$work/prefix/usr/$name"
    ln -s "usr/$name" "$work/prefix/$name"
  done
  for package in "$work"/archives/*.deb; do
    dpkg -x "$package" "$work/prefix" || return 1
  done
  rm -rf "$work/prefix/usr/share" "$work/prefix/var"
  prefix=$tools/criu-$(printf '%s' "$version" | tr -c 'A-Za-z0-9._+-' '_')
  rm -rf "$prefix"
  mv "$work/prefix" "$prefix"
  loader=$(ls "$prefix"/usr/lib64/ld-linux-*.so.* "$prefix"/usr/lib/ld-linux-*.so.* 2>/dev/null | head -n 1)
  libraries=$(echo "$prefix"/usr/lib/*-linux-gnu)
  found=$("$loader" --library-path "$libraries" "$prefix/usr/sbin/criu" check 2>&1) || {
    printf '%s\n' "$found" >&2
    say "CRIU $version does not pass 'criu check' on this kernel ($(uname -r))"
    return 1
  }
  record_criu "$loader" --library-path "$libraries" "$prefix/usr/sbin/criu"
}

# One line of JSON, put in place in one step. The arguments need no escaping: with-setup has checked $tools.
record_criu() {
  list=
  for part in "$@"; do list="$list${list:+, }\"$part\""; done
  printf '{"argv": [%s]}\n' "$list" >"$tools/criu.json.new"
  mv "$tools/criu.json.new" "$tools/criu.json"
}
