#!/usr/bin/env bash
# How exact and how fast hyperdiag is on the GPU of this machine, which needs no network for it.
#
#   make wheelhouse PYTHON_VERSION=3.12              first, on a machine with a network
#   deploy/gpu/check.sh [folder] [key=value ...]     then here; the folder of wheels: wheelhouse/
#
# Keys are those of `hyperdiag bench bench.subject=device`. A try without a GPU:
#
#   JAX_PLATFORMS=cpu deploy/gpu/check.sh wheelhouse bench.rows_scale=0.01 bench.seconds=60
#
# JAX with CUDA, NumPy, SciPy and PyArrow are taken from this machine's Python, and stay as they are;
# Ray is not needed. All else goes into a temporary environment, which is removed in the end.
# device.json and device.md are what is left.
#
# Variables, with their defaults:
#   PYTHON=python3        that has JAX; of the version that the wheels are for
#   OUT=outputs/gpu       where the two files go
#   SECONDS_AT_MOST=480   after which the measurement is ended; what it has by then is kept
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
out=${OUT:-outputs/gpu}
at_most=${SECONDS_AT_MOST:-480}
wheels=$here/../../wheelhouse
if [ $# -gt 0 ] && [ "${1#*=}" = "$1" ]; then
  wheels=$1
  shift
fi

# stop CODE SENTENCE
stop() {
  printf 'check: %s\n' "$2" >&2
  exit "$1"
}

if [ ! -f "$wheels/requirements.txt" ]; then
  stop 2 "$wheels: no folder of wheels; 'make wheelhouse PYTHON_VERSION=3.12' fills one where there is a network"
fi
wheels=$(cd "$wheels" && pwd)
command -v "$python" >/dev/null ||
  stop 2 "there is no $python here: PYTHON=... names the Python that has JAX"
"$python" -c 'import jax' ||
  stop 2 "$python cannot import JAX: install it, with CUDA, or name another Python by PYTHON=..."
mkdir -p "$out"
out=$(cd "$out" && pwd)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# A pip of this Python's serves; where it has none, Python brings one.
environment=$scratch/environment
options=(--system-site-packages)
if "$python" -m pip --version >/dev/null 2>&1; then
  options+=(--without-pip)
fi
"$python" -m venv "${options[@]}" "$environment" ||
  stop 2 "$python makes no virtual environment: Debian and Ubuntu have it in python3-venv"
"$python" "$here/beside.py" "$environment"

pip=("$environment/bin/python" -m pip --quiet --disable-pip-version-check --no-input)
export PIP_CONFIG_FILE=/dev/null
"${pip[@]}" install --no-index --find-links "$wheels" -r "$wheels/requirements.txt" ||
  stop 2 "what pip names above is neither here nor in $wheels, or not for $("$python" --version): install it, add its wheel, or make the wheels anew with that PYTHON_VERSION (and THERE without it)"
"${pip[@]}" install --no-index --no-deps "$wheels"/hyperdiag-*.whl

# What the tuner remembers goes, too.
export HYPERDIAG_CACHE=$scratch/cache
status=0
timeout --foreground --kill-after=20 "$at_most" "$environment/bin/hyperdiag" \
  bench bench.subject=device "output.path='$out'" "$@" || status=$?
if [ "$status" = 124 ] || [ "$status" = 137 ]; then
  printf 'check: ended after %s seconds; what was measured by then is in %s\n' "$at_most" "$out" >&2
fi
exit "$status"
