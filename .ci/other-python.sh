#!/usr/bin/env bash
# Makes .other-python, an environment of another Python minor version than .venv's, for the tests that compare state
# roots between the two. Takes an interpreter that the machine has, pyenv's among them, for which every package
# needed has a wheel; OTHER_PYTHON names one. Where there is none it says so and ends well: those tests then say that
# they did not compare.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly needs=(msgpack pynacl py-ed25519-zebra-bindings pydantic numpy plyvel pytest hypothesis lxml python-stdnum pydifact)

minor() { "$@" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

usable() {
    .other-python/bin/python -c 'import msgpack, nacl, ed25519_zebra, pydantic, numpy, plyvel, pytest, hypothesis, lxml, stdnum, pydifact' 2>/dev/null &&
        [[ $(minor .other-python/bin/python) != "$(minor .venv/bin/python)" ]]
}

candidates() { # prints interpreters of this machine, newest version first
    local version
    for version in 3.14 3.13 3.12 3.11; do
        command -v "python$version" || true
        ls -d "$(pyenv root 2>/dev/null)/versions/$version".*/bin/python 2>/dev/null || true
    done
}

make_from() {
    rm -rf .other-python
    "$1" -m venv .other-python &&
        .other-python/bin/python -m pip install -q --disable-pip-version-check --no-input --only-binary=:all: \
            -c constraints.txt "${needs[@]}" && usable
}

add_witness() { # an independent C2SP witness, where this Python is new enough for it; without it one test is skipped
    .other-python/bin/python -c 'import aics_witness' 2>/dev/null ||
        .other-python/bin/python -m pip install -q --disable-pip-version-check --no-input --only-binary=:all: \
            -c constraints.txt aics-witness >/dev/null 2>&1 || true
}

if usable; then
    add_witness
    exit 0
fi
while read -r python; do
    found=$(minor "$python") || continue
    [[ $found != "$(minor .venv/bin/python)" ]] || continue
    if make_from "$python" >/dev/null 2>&1; then
        echo "Second Python, to compare roots: $found" >&2
        add_witness
        exit 0
    fi
done < <(if [[ ${OTHER_PYTHON:-} ]]; then echo "$OTHER_PYTHON"; else candidates; fi)
rm -rf .other-python
echo "No second Python on this machine: roots are compared under one version only (OTHER_PYTHON=/path/to/python names one)" >&2
