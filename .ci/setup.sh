#!/usr/bin/env bash
# Makes .venv for this clone: setup.sh EXTRAS, where EXTRAS is "node" (to run) or "node,dev" (to test).
#
# Done once; done again when pyproject.toml or constraints.txt change. What the system lacks (a Python, a C compiler,
# GMP for one dependency that has no wheel) is installed with apt-get when run as root on Debian or a relative;
# otherwise one line says what to install. Root also gets the fonts that a case's documents are set in and, to test,
# OpenStack Swift's modules, the S3 server that the tests of documents in S3 start by themselves; without them those
# tests are skipped. PYTHON=/path/to/python chooses the interpreter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly extras="${1:-node}"
readonly stamp=.venv/environment
readonly log=.venv/setup.log
readonly oldest="3.11"

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

fingerprint() { cat pyproject.toml constraints.txt .ci/setup.sh | sha256sum | cut -d' ' -f1; }

ready() { # the stamp holds the fingerprint, then the extras; an environment to test is one to run, too
    [[ -x .venv/bin/python && -f $stamp ]] || return 1
    local made_from made_for
    { read -r made_from && read -r made_for; } <"$stamp" || return 1
    [[ $made_from == "$(fingerprint)" && ($made_for == "$extras" || $made_for == "$extras",*) ]] || return 1
    .venv/bin/python -c 'import msgpack' 2>/dev/null # a folder that was moved, or whose Python has gone
}

find_python() { # prints the first interpreter that is new enough
    local candidate
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
        if "$candidate" -c "import sys; sys.exit(sys.version_info < (${oldest/./, }))" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

can_compile() { # against GMP and the headers of the interpreter in $1
    local include
    include=$("$1" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    printf '#include <stdlib.h>\n#include <Python.h>\n#include <gmp.h>\nint main(void) { return 0; }\n' |
        gcc -x c -I"$include" - -lgmp -o /dev/null 2>/dev/null
}

missing_packages() { # prints the Debian packages that are needed and absent
    local python
    if ! python=$(find_python); then
        echo python3 python3-venv python3-dev gcc libc6-dev libgmp-dev
        return
    fi
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    can_compile "$python" || echo python3-dev gcc libc6-dev libgmp-dev
}

install_packages() {
    local packages="$*"
    if ! command -v apt-get >/dev/null; then
        fail "Install what these Debian packages hold, then run make again: $packages"
    elif [[ $(id -u) -ne 0 ]]; then
        fail "Run this, then make again: sudo apt-get install -y $packages"
    fi
    say "Installing system packages: $packages"
    local output
    export DEBIAN_FRONTEND=noninteractive
    if ! output=$({ apt-get update -q && apt-get install -q -y --no-install-recommends $packages; } 2>&1); then
        printf '%s\n' "$output" | tail -n 5 >&2
        fail "apt-get failed (above): check the network and the package sources, then run: apt-get install -y $packages"
    fi
}

install_s3_server() { # modules only: no package of it has a service
    [[ $extras == *dev* && $(id -u) -eq 0 ]] && command -v apt-get >/dev/null || return 0
    /usr/bin/python3 -c 'import swift.obj.server' 2>/dev/null && return
    (install_packages python3-swift) || say "Without python3-swift the tests of documents in S3 are skipped"
}

install_fonts() { # for the documents of a case (docs/litigation.md)
    command -v apt-get >/dev/null || return 0
    [[ -e /usr/share/fonts/opentype/noto/NotoSerifCJK-Regular.ttc ]] && return
    if [[ $(id -u) -ne 0 ]]; then
        say "Without fonts the documents of a case cannot be set: sudo apt-get install -y fonts-noto-cjk"
        return
    fi
    (install_packages fonts-noto-cjk) || say "Without fonts-noto-cjk the documents of a case cannot be set"
}

logged() { # runs a command; on failure shows the end of its output and the advice in $1
    local advice="$1"
    shift
    if ! "$@" >>"$log" 2>&1; then
        tail -n 15 "$log" >&2
        fail "$advice (whole output: $log)"
    fi
}

main() {
    exec 9<.ci/setup.sh
    flock 9 # two makes at once wait for each other
    ready && return
    local packages python
    if [[ ${PYTHON:-} ]] && ! find_python >/dev/null; then
        fail "PYTHON=$PYTHON is not Python $oldest or newer: name another, or leave it out"
    fi
    packages=$(missing_packages | xargs)
    [[ -z $packages ]] || install_packages "$packages"
    python=$(find_python) || fail "Python $oldest or newer is needed: install it, or name it with PYTHON=python3.x"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot make virtual environments: install its venv package, or name another with PYTHON=/path/to/python"
    can_compile "$python" ||
        fail "gcc cannot compile for $python: install its headers (python3-dev) and libgmp-dev, or name another with PYTHON=/path/to/python"

    install_s3_server
    install_fonts
    say "Setting up the environment in .venv with $("$python" --version) (once, about two minutes)"
    mkdir -p .venv
    if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
        logged "Could not make .venv: check free space and that $python is whole" "$python" -m venv --clear .venv
    fi
    logged "Could not install the Python packages: check the network and free space, then run make again" \
        .venv/bin/python -m pip install --disable-pip-version-check --no-input -c constraints.txt -e ".[$extras]"
    printf '%s\n%s\n' "$(fingerprint)" "$extras" >"$stamp"
    say "Environment ready"
}

main
