#!/bin/bash
# Measures and tries on a machine with a card what cannot be tried without one; it needs no network. Without a card it runs
# too, and says of each piece that there was none.
#
#   OUT     folder for check.json and check.md, written after every piece (out/gpu)
#   KIT     folder with the kit's parts, of `make gpu-kit` (kit); without it the machine's own packages are used
#   PIECES  the pieces to do, such as "a b d" (all, in the order of their worth: a b d c e f)
#   MINUTES for all of them (9)
#   PYTHON  the interpreter (python3)
set -u
cd "$(dirname "$0")/../.." || exit 1
export OUT=${OUT:-out/gpu} KIT=${KIT:-kit} PYTHONPATH=$PWD:$PWD/tests/gpu${PYTHONPATH:+:$PYTHONPATH}
mkdir -p "$OUT"
python=${PYTHON:-python3}

if [ -d "$KIT" ]; then
    env=$PWD/out/gpu-env
    [ -x "$env/bin/python" ] || "$python" -m venv --system-site-packages "$env" || exit 1
    python=$env/bin/python
    # setup.lock and kit.py need nothing but Python and what lies in the parts
    "$python" tests/gpu/unpack.py "$KIT" out/gpu-files >"$OUT/kit.log" 2>&1 || echo "check: see $OUT/kit.log" >&2
fi
exec "$python" tests/gpu/pieces.py
