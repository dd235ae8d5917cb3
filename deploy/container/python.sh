#!/bin/sh
# Makes, in a tools folder, the environment that all Python cells in bodies share: what a body does itself at its first
# Python cell, ahead of time, for a machine without a package index. The interpreter is PYO3_PYTHON, as in the build.
#
#   deploy/container/python.sh <tools folder>
set -eu
tools=${1:?a tools folder, for example /var/lib/cbs/.cache/cbs/tools}
python=${PYO3_PYTHON:-python3}
here=$(cd "$(dirname "$0")" && pwd)
# The body's own words, so that both install the same.
msgspec=$(sed -n 's/^const MSGSPEC: &str = "\(.*\)";$/\1/p' "$here/../../body/host-python/src/environment.rs")
: "${msgspec:?body/host-python/src/environment.rs names no MSGSPEC}"

name=$("$python" -c 'import hashlib, sys
print("%d.%d.%d-" % sys.version_info[:3] + hashlib.sha256(sys.base_prefix.encode()).hexdigest()[:12])')
place=$tools/python/$name/shared
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$tools/python/$name"
"$python" -m venv --without-pip "$place"
# A pip of its own: the result needs none, and the system's may be missing or closed.
"$python" -m venv "$work/pip"
"$work/pip/bin/python" -m pip --python "$place/bin/python" install --quiet --no-cache-dir --disable-pip-version-check \
    --only-binary :all: "$msgspec"
