# Part of tools/with-setup: Debian packages of this machine's own release. Uses say, fail.

# The packages of the COMMAND:PACKAGE pairs in $1 whose command is absent, each once, each after a space.
missing_packages() {
  found=
  for pair in $1; do
    has_command "${pair%%:*}" || found="$found
${pair##*:}"
  done
  has_command redis-server || has_command valkey-server || found="$found
redis-server"
  has_library libnftables.so.1 || found="$found
libnftables1"
  printf '%s' "$found" | sort -u | tr '\n' ' ' | sed 's/ *$//'
}

# The system's directories too: a user's PATH may lack them.
has_command() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }
has_library() {
  for directory in /usr/lib/*-linux-gnu* /usr/lib /usr/lib64; do
    [ ! -e "$directory/$1" ] || return 0
  done
  return 1
}

# Asks apt for the lists when this machine has none (as in fresh container images).
need_lists() {
  has_command apt-get || fail "this is not Debian (no apt-get): install CRIU 4.2 or newer yourself, and the commands of: $for_running $for_tests redis-server"
  ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || quietly apt-get -q update
}

# Runs a command; its output is shown only when it fails.
quietly() {
  output=$(mktemp)
  if "$@" >"$output" 2>&1 </dev/null; then
    rm -f "$output"
  else
    status=$?
    cat "$output" >&2
    rm -f "$output"
    say "failed: $*"
    return "$status"
  fi
}

install_debian_packages() {
  absent=$(missing_packages "$1")
  [ -n "$absent" ] || return 0
  need_lists
  case $absent in
    *redis-server*) apt-cache show redis-server >/dev/null 2>&1 || absent=$(printf '%s' "$absent" | sed 's/redis-server/valkey-server/') ;;
  esac
  say "installing Debian packages:$(printf ' %s' "$absent" | tr -s ' ') ..."
  # Word splitting is wanted: package names have no spaces.
  # shellcheck disable=SC2086
  apt_install $absent || {
    quietly apt-get -q update && apt_install $absent # lists older than what the mirror still has
  } || fail "cannot install $absent: see above"
}

# Installs without starting a service, now or at the next boot: the gateway runs a private Redis of its own, and tests their own HAProxy.
apt_install() {
  policy=/usr/sbin/policy-rc.d
  ours=
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    ours=yes
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    trap 'exit 130' INT TERM HUP
  fi
  installed=0
  DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    quietly apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@" || installed=$?
  if [ -n "$ours" ]; then
    rm -f "$policy"
    trap - EXIT INT TERM HUP
  fi
  [ "$installed" -eq 0 ] || return "$installed"
  for name in "$@"; do
    case $name in
      redis-server | valkey-server | haproxy) update-rc.d "$name" disable >/dev/null 2>&1 || say "could not disable the service $name; it may start at the next boot" ;;
    esac
  done
}
