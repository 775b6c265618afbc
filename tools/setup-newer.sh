# Part of tools/with-setup: Debian packages of a newer release, with all they need, in a directory of our own, from the
# mirror that apt is configured with. Programs start through that directory's own loader: the system's libraries stay as
# they are. Uses say, quietly.

# Of the first source whose label is Debian's own (not its security archive, nor another publisher).
debian_mirror() {
  apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian \([^ ]*\)$/\1/p' | head -n 1
}

# open_release RELEASE DIRECTORY: gets the lists of a release; $apt_options makes apt use them, and believe that nothing is
# installed. Before: mirror=$(debian_mirror).
open_release() {
  rm -rf "$2"
  mkdir -p "$2/lists/partial" "$2/archives/partial" "$2/etc/preferences.d" "$2/etc/apt.conf.d" "$2/prefix"
  : >"$2/status"
  for key in /usr/share/keyrings/debian-archive-keyring.pgp /usr/share/keyrings/debian-archive-keyring.gpg; do
    [ -e "$key" ] && break
  done
  echo "deb [signed-by=$key] $mirror $1 main" >"$2/etc/sources.list"
  apt_options="-o Dir::State::lists=$2/lists -o Dir::State::status=$2/status -o Dir::Cache=$2 -o Dir::Cache::archives=$2/archives"
  apt_options="$apt_options -o Dir::Etc=$2/etc -o Dir::Etc::sourcelist=$2/etc/sources.list -o Dir::Etc::sourceparts=-"
  apt_options="$apt_options -o APT::Sandbox::User=root -o APT::Install-Recommends=false -o Acquire::Retries=3 -o Acquire::Languages=none"
  # shellcheck disable=SC2086
  apt-get $apt_options -q -q update >/dev/null 2>&1
}

close_release() {
  apt_options=
  rm -rf "$1"
}

# unpack_packages DIRECTORY PACKAGE...: what is needed to run these, in DIRECTORY/prefix. After open_release.
unpack_packages() {
  unpacking=$1
  shift
  # shellcheck disable=SC2086
  quietly apt-get $apt_options -q install -y --download-only "$@" || return 1
  for name in bin sbin lib lib64; do # as on a system with merged /usr, whether or not the packages assume one
    mkdir -p "$unpacking/prefix/usr/$name"
    ln -s "usr/$name" "$unpacking/prefix/$name"
  done
  for package in "$unpacking"/archives/*.deb; do
    dpkg -x "$package" "$unpacking/prefix" || return 1
  done
  rm -rf "$unpacking/prefix/usr/share" "$unpacking/prefix/var"
}

# The version of a package that apt would install; $apt_options chooses among which.
# shellcheck disable=SC2086
candidate() { LC_ALL=C apt-cache ${apt_options:-} policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: *//p'; }

# at_least VERSION NEEDED
at_least() { [ -n "$1" ] && [ "$1" != '(none)' ] && dpkg --compare-versions "$1" ge "$2"; }

loader_of() { ls "$1"/usr/lib64/ld-linux-*.so.* "$1"/usr/lib/ld-linux-*.so.* 2>/dev/null | head -n 1; }
libraries_of() { echo "$1"/usr/lib/*-linux-gnu; }

# A name for a directory of a version.
plain() { printf '%s' "$1" | tr -c 'A-Za-z0-9._+-' '_'; }
