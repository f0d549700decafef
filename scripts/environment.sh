# Sourced by the scripts here: makes .venv and installs what is missing into it, then puts it first on PATH.
# LIDARPREP_EXTRAS names the extras that the caller needs, if any; PYTHON the interpreter that makes the environment.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-python3}"

if [ ! -x .venv/bin/python ]; then
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "lidarprep needs Python 3.11 or newer; $("$python" --version 2>&1) found. Set PYTHON to a newer one." >&2
    exit 2
  fi
  echo "making .venv" >&2
  "$python" -m venv .venv
fi

package=".${LIDARPREP_EXTRAS:+[$LIDARPREP_EXTRAS]}"
# What is installed is known by the extras and by pyproject.toml: a changed one installs again.
stamp=".venv/installed-${LIDARPREP_EXTRAS:-plain}-$(cksum < pyproject.toml | tr ' ' '-')"
if [ ! -e "$stamp" ]; then
  echo "installing lidarprep${package#.} into .venv" >&2
  # Byte code is made when a module is first imported: most of what is installed never is.
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --editable "$package"
  touch "$stamp"
fi
PATH="$PWD/.venv/bin:$PATH"
export PATH
# Containers often set it. The scripts start many processes, and each would compile all that it imports again.
unset PYTHONDONTWRITEBYTECODE
