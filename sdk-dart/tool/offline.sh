#!/bin/sh
# Lets `dart pub get --offline` find all that the tests need on this machine: the stand-in for package:test of
# tests/dart-test, and the packages that came with the tools cache. Written for a package of this repository, by its
# folder:
#
#   sdk-dart/tool/offline.sh sdk-dart cells/io_print_greeting_dart
#
# What it writes (pubspec_overrides.yaml) is git-ignored. With a registry in reach it is not needed: `dart pub get` does.
set -eu
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
TOOLS=${CBS_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/cbs/tools}
PACKAGES=$TOOLS/dart/packages
[ -d "$PACKAGES/test_api" ] || {
  echo "$0: no packages in $PACKAGES (deploy/setup.sh puts them there)" >&2
  exit 2
}
for folder in "${@:-$ROOT/sdk-dart}"; do
  folder=$(cd "$folder" && pwd)
  {
    echo "# Written by sdk-dart/tool/offline.sh."
    echo "dependency_overrides:"
    # A package may not override itself.
    grep -qx 'name: test' "$folder/pubspec.yaml" || echo "  test: { path: $ROOT/tests/dart-test }"
    for package in "$PACKAGES"/*; do
      echo "  $(basename "$package"): { path: $package }"
    done
  } >"$folder/pubspec_overrides.yaml"
  (cd "$folder" && "${DART:-$TOOLS/dart/bin/dart}" pub get --offline >/dev/null)
done
