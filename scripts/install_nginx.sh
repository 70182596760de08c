#!/bin/sh
# Make nginx available to tests/integration/test_fleet_proxy.py: install_nginx.sh [FOLDER]
#
# If there is none, Debian's package is fetched by apt, which checks its signature, and unpacked in
# FOLDER [default: build/nginx]. It is not installed: the tests need the program alone, so no service
# is ever set up or started on the machine, and nobody has to be root. Never fails: the tests say what
# is missing, and fail in CI.
set -u

folder=${1:-build/nginx}
for nginx in "$(command -v nginx)" /usr/sbin/nginx "$folder/usr/sbin/nginx"; do
    if [ -x "$nginx" ] && "$nginx" -v 2>/dev/null; then exit 0; fi
done

give_up() {
    echo "install_nginx.sh: $1; install nginx yourself (Debian: apt-get install nginx-light)," \
        "or the tests of the fleet's proxy cannot run" >&2
    exit 0
}

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || give_up "this is not Debian"
scratch=$(mktemp -d) || give_up "there is no room for temporary files"
trap 'rm -rf "$scratch"' EXIT

# With lists of its own apt needs no root, and the machine's lists may be missing or stale. The
# sandbox's user could not write to our folders; only root's apt would switch to it.
apt() {
    apt-get -qq -o Dir::State::lists="$scratch/lists" -o Dir::Cache="$scratch/cache" \
        -o APT::Sandbox::User="$(id -un)" "$@" >"$scratch/log" 2>&1
}
mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial"
here=$PWD
apt update && cd "$scratch" && apt download nginx || give_up "apt says: $(tail -n 1 "$scratch/log")"
cd "$here" || exit 0
mkdir -p "$folder" && dpkg-deb -x "$scratch"/nginx_*.deb "$folder" || give_up "cannot unpack nginx"
"$folder/usr/sbin/nginx" -v || give_up "the unpacked nginx does not run here"
