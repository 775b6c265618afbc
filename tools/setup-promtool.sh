# Part of tools/with-setup, for the tests: promtool, which checks metrics and alert rules, as $tools/promtool. It is one program
# of Debian's package prometheus, which is not installed: it is large, and would start a server.
# Uses say, fail, need_lists, quietly.

install_promtool() {
  [ ! -x "$tools/promtool" ] || return 0
  need_lists
  work=$tools/promtool-unpacking
  rm -rf "$work"
  mkdir -p "$work"
  say 'downloading promtool (19 MB) ...'
  download_prometheus "$work" || { # lists older than what the mirror still has
    quietly apt-get -q update && download_prometheus "$work"
  } || fail "cannot get promtool from Debian's package prometheus, see above"
  dpkg-deb --fsys-tarfile "$work"/prometheus_*.deb | tar -x -C "$work" ./usr/bin/promtool || fail "cannot unpack promtool"
  "$work/usr/bin/promtool" --version >/dev/null 2>&1 || fail 'promtool does not start'
  mv "$work/usr/bin/promtool" "$tools/promtool"
  rm -rf "$work"
}

download_prometheus() { (cd "$1" && quietly apt-get -o APT::Sandbox::User=root -o Acquire::Retries=3 -q download prometheus); }
