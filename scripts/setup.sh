#!/usr/bin/env bash
# Make everything that the other commands need: Debian packages (as root; otherwise say what is missing) and a virtual
# environment in .venv with the `argosy` command, from the lock file. Does nothing where nothing has changed.
#
#   scripts/setup.sh [run|test]     run: what a mesh needs; test: also what only the tests need (default)
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:-test}

# program:Debian package
needed=(unshare:util-linux nsenter:util-linux setpriv:util-linux mount:mount hostname:hostname ip:iproute2
        iptables-restore:iptables ps:procps curl:curl)
[ "$purpose" = test ] && needed+=(tcpdump:tcpdump chromium:chromium redis-server:redis-server prometheus:prometheus)

# Administrators' programs are not on every user's path.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

missing=()
for pair in "${needed[@]}"; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done

find_python() {
    for candidate in python3.11 python3 python3.12 python3.13; do
        if command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}
python=$(find_python)
[ -n "$python" ] || missing+=(python3)
if [ ! -x .venv/bin/python ]; then
    [ -n "$python" ] && "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
fi

if [ ${#missing[@]} -gt 0 ]; then
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "missing: ${missing[*]} (on Debian: apt-get install ${missing[*]}, as root)" >&2
        exit 1
    fi
    echo "installing Debian packages: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    python=$(find_python)
    if [ -z "$python" ]; then
        echo "missing: Python 3.11 or newer" >&2
        exit 1
    fi
fi

# The stamp holds what the environment was made from: another lock file or another place makes it anew.
wanted=$(sha256sum requirements.lock pyproject.toml; pwd)
if [ "$(cat .venv/made-from 2>/dev/null)" != "$wanted" ]; then
    echo "making .venv with the argosy command"
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
    printf '%s\n' "$wanted" > .venv/made-from
fi
