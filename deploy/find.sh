#!/bin/sh
# Finds what is there, and installs nothing:
#
#   deploy/find.sh python   lines of shell that tell cargo of a Python; they set PYO3_PYTHON where that is needed,
#                           and `features` to --no-default-features where there is none to be linked
#   deploy/find.sh dart     the path of a Dart that works, or nothing
set -eu
exec </dev/null

tools=${CBS_TOOLS:-${XDG_CACHE_HOME:-${HOME:?set HOME or CBS_TOOLS}/.cache}/cbs/tools}

# A shared library of 3.11 or newer, where the linker looks for it. Debian has it in a package of its own.
is_linkable() {
    "$1" -c '
import os, sys, sysconfig
folder, library, *shared = map(sysconfig.get_config_var, ("LIBDIR", "LDLIBRARY", "Py_ENABLE_SHARED", "PYTHONFRAMEWORK"))
sys.exit(sys.version_info < (3, 11) or not any(shared) or not os.path.exists(os.path.join(folder, library)))
' >/dev/null 2>&1
}

# The interpreter that pyo3 takes by default: it looks in this order.
builds_default() {
    if [ -n "${VIRTUAL_ENV:-}" ] && [ -z "${CONDA_PREFIX:-}" ]; then
        echo "$VIRTUAL_ENV/bin/python"
    elif [ -n "${CONDA_PREFIX:-}" ] && [ -z "${VIRTUAL_ENV:-}" ]; then
        echo "$CONDA_PREFIX/bin/python"
    else
        case $(python --version 2>&1) in "Python 3"*) echo python ;; *) echo python3 ;; esac
    fi
}

# A variable that changes between `cargo build` and make would have cargo build Python's part again each time:
# it is set only where cargo alone would take one that cannot be linked.
find_python() {
    if [ -n "${PYO3_PYTHON:-}" ]; then
        if is_linkable "$PYO3_PYTHON"; then echo "features="; else echo "features=--no-default-features"; fi
    elif is_linkable "$(builds_default)"; then
        echo "features="
    elif is_linkable python3; then
        echo "features= PYO3_PYTHON=python3; export PYO3_PYTHON"
    elif is_linkable /usr/bin/python3; then
        echo "features= PYO3_PYTHON=/usr/bin/python3; export PYO3_PYTHON"
    else
        echo "features=--no-default-features"
    fi
}

# A Dart is believed when it has answered. Some before 3.5 lack what the SDK uses.
is_dart() {
    case $("$1" --version 2>/dev/null) in
        "Dart SDK version: "[0-2].* | "Dart SDK version: 3."[0-4].*) return 1 ;;
        "Dart SDK version: "*) return 0 ;;
        *) return 1 ;;
    esac
}

# The order of the program itself; a CBS_DART that is wrong is the program's to tell.
find_dart() {
    if [ -n "${CBS_DART:-}" ]; then
        if is_dart "$CBS_DART"; then echo "$CBS_DART"; fi
        return
    fi
    found=$(command -v dart) || true
    for found in "$found" "$tools/dart/bin/dart"; do
        if [ -x "$found" ] && is_dart "$found"; then
            echo "$found"
            return
        fi
    done
}

case ${1:-} in
    python) find_python ;;
    dart) find_dart ;;
    *) echo "find: unknown: ${1:-} (python or dart)" >&2 && exit 64 ;;
esac
