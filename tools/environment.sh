#!/bin/sh
# Make an environment from the locks, anew: tools/environment.sh FOLDER [LOCK]
#
# LOCK is requirements-dev.lock, or requirements.lock for what production needs. Variables:
#   PYTHON       Python 3.11, 3.12 or 3.13 (python3)
#   TORCH        cpu, or cuda: PyTorch for NVIDIA's cards, about 3 GB more (cpu)
#   TORCH_INDEX  take PyTorch from this index and from nowhere else
#   UV_VERSION   uv that is fetched where the machine has none (the newest)
set -eu

folder=$1
lock=${2:-requirements-dev.lock}
python=${PYTHON:-python3}
torch=${TORCH:-cpu}
cpu_builds=https://download.pytorch.org/whl/cpu

fail() {
    echo "cannot make $folder: $1" >&2
    exit 1
}

begin=$(date +%s)
say() { echo "$folder, $(($(date +%s) - begin)) s: $1"; }

interpreter=$("$python" -c '
import platform, sys
in_locks = (3, 11) <= sys.version_info[:2] <= (3, 13) and platform.python_implementation() == "CPython"
print(sys.executable if in_locks else "")') || fail "$python does not run; name a Python with PYTHON=..."
[ -n "$interpreter" ] || fail "$("$python" -V) is not in the locks; name Python 3.11, 3.12 or 3.13 with PYTHON=..."
case $torch in cpu | cuda) ;; *) fail "TORCH=$torch is neither cpu nor cuda" ;; esac

# uv of this machine, else one of our own beside the environment. An outdated name on the PATH is not enough: it must run.
uv=uv
if ! uv --version >/dev/null 2>&1; then
    own=$(dirname "$folder")/.uv
    uv=$own/bin/uv
    if ! "$uv" --version >/dev/null 2>&1; then
        say "fetching uv with pip"
        rm -rf "$own"
        "$interpreter" -m venv "$own" || fail "$python has no venv; on Debian and Ubuntu: apt-get install python3-venv"
        "$own/bin/pip" install --quiet --disable-pip-version-check "uv${UV_VERSION:+==$UV_VERSION}" ||
            fail "pip could not fetch uv; check the network and pip's settings (pip config list)"
    fi
fi

# uv does not read pip's settings: a machine with a mirror or a folder of wheels has told only pip about it.
pip_setting() {
    for pip in "$(dirname "$folder")/.uv/bin/python" "$interpreter"; do
        for section in global install; do
            "$pip" -m pip --disable-pip-version-check config get "$section.$1" 2>/dev/null && return
        done
    done
    echo
}
mirror=${PIP_INDEX_URL:-$(pip_setting index-url)}
wheels=$(echo ${PIP_FIND_LINKS:-$(pip_setting find-links)} | tr ' ' ',')
if [ -n "$mirror" ]; then export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$mirror}"; fi
if [ -n "$wheels" ]; then export UV_FIND_LINKS="${UV_FIND_LINKS:-$wheels}"; fi

say "$("$uv" --version | cut -d ' ' -f 1,2) makes it from $lock for $("$python" -V): PyTorch for $torch"
"$uv" venv --quiet --clear --python "$interpreter" "$folder"
export VIRTUAL_ENV="$folder"

# PyTorch first, since it is what may be missing. The same version is built for many processors, so that the lock names
# the version and not a hash. With CUDA come packages that the locks do not hold, by the versions that PyTorch names.
install_torch() { "$uv" pip install --quiet -r requirements-torch.lock "$@"; }
version=$(grep '^torch==' requirements-torch.lock)
if [ "$torch" = cuda ]; then
    # PyPI's builds for Linux are those with CUDA; a wheel for CPUs in the machine's own folder would come before them.
    UV_FIND_LINKS='' install_torch -c "$lock" ${TORCH_INDEX:+--index "$TORCH_INDEX"} || fail "no $version with CUDA"
elif [ -n "${TORCH_INDEX:-}" ]; then
    UV_FIND_LINKS='' install_torch --no-deps --default-index "$TORCH_INDEX" || fail "no $version in $TORCH_INDEX"
elif [ -z "${UV_FIND_LINKS:-}" ] || ! install_torch --no-deps --no-index 2>/dev/null; then
    install_torch --no-deps --default-index "$cpu_builds" || fail "no build of $version for CPUs and $("$python" -V): \
neither at $cpu_builds nor among the machine's own wheels (${UV_FIND_LINKS:-pip's setting find-links names none}). Name \
an index that has it with TORCH_INDEX=..., a folder with its wheel with PIP_FIND_LINKS=..., or take TORCH=cuda"
fi

say "everything else"
"$uv" pip install --quiet --no-deps --require-hashes -r "$lock"
"$uv" pip install --quiet --no-deps --no-build-isolation -e .
"$uv" pip check --quiet || "$uv" pip check
say "ready"
