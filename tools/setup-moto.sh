# Part of tools/with-setup, for the tests: moto, a server that speaks S3, recorded in $tools/s3-server.json (see
# test/helpers/s3-server.ts). It comes from a newer Debian, with a Python of its own: older ones ignore conditional PUT.
# Uses say, fail, need_lists and tools/setup-newer.sh.

moto_needed=5.2

install_moto() {
  if [ -e "$tools/s3-server.json" ]; then
    recorded=$(sed -n 's/^{"argv": \["\([^"]*\)".*/\1/p' "$tools/s3-server.json")
    [ -z "$recorded" ] || [ ! -x "$recorded" ] || return 0
  fi
  need_lists
  mirror=$(debian_mirror)
  [ -n "$mirror" ] || fail 'cannot get moto, the S3 server of the tests: no Debian mirror in the configuration of apt'
  for release in stable testing unstable; do
    use_moto_of "$release" && return 0
  done
  fail "cannot get moto $moto_needed or newer, the S3 server of the tests: tried newer Debian releases (see above)"
}

use_moto_of() {
  work=$tools/moto-unpacking
  say "looking for moto, the S3 server of the tests, in Debian $1 ..."
  got=1
  if open_release "$1" "$work" && version=$(candidate python3-moto) && at_least "$version" "$moto_needed"; then
    say "downloading moto $version (50 MB) ..."
    unpack_packages "$work" python3-moto python3-flask-cors && record_moto && got=0
  fi
  close_release "$work"
  return "$got"
}

record_moto() {
  prefix=$tools/moto-$(plain "$version")
  rm -rf "$prefix"
  mv "$work/prefix" "$prefix"
  loader=$(loader_of "$prefix")
  libraries=$(libraries_of "$prefix")
  python=$(ls "$prefix"/usr/bin/python3.*[0-9] | head -n 1)
  modules=$prefix/usr/lib/python3/dist-packages
  found=$(PYTHONHOME="$prefix/usr" PYTHONPATH="$modules" "$loader" --library-path "$libraries" "$python" -c 'import moto.server, flask_cors' 2>&1) || {
    printf '%s\n' "$found" >&2
    say "moto $version does not start"
    return 1
  }
  printf '{"argv": ["%s", "--library-path", "%s", "%s", "-m", "moto.server"], "env": {"PYTHONHOME": "%s", "PYTHONPATH": "%s"}}\n' \
    "$loader" "$libraries" "$python" "$prefix/usr" "$modules" >"$tools/s3-server.json.new"
  mv "$tools/s3-server.json.new" "$tools/s3-server.json"
}
