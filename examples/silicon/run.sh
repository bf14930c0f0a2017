#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-3.0-or-later
# Learn the electron density of silicon from one DFT calculation and predict
# that of another structure. The first argument names the folder for results.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:-demo}"
cd "${1:-demo}"
export TF_CPP_MIN_LOG_LEVEL=2

say() { printf '\n== %s\n' "$*"; }
run() {
    printf '$ %s\n' "$1"
    eval "$1"
}

rm -rf train
cp "$here/data/1/CHGCAR.gz" CHGCAR_1.gz
cp "$here/data/2/CHGCAR.gz" CHGCAR_2.gz
cp "$here/data/2/POSCAR" POSCAR_2
cp "$here/input.json" .

say "Grid points of one density become a DP system"
run 'deepmd-charge convert CHGCAR_1.gz -o train --seed 1'

say "Train (whole log: train.log) and freeze"
if ! run 'dp train input.json' 2>&1 | tee train.log | { grep --line-buffered -E '^\$|least squares|Batch +[0-9]+: trn' || true; }; then
    tail -n 20 train.log
    exit 1
fi
echo '$ dp freeze -o charge.pb'
dp freeze -o charge.pb > freeze.log 2>&1 || { tail -n 20 freeze.log; exit 1; }

say "Predict a structure that the model has not seen, on its whole grid"
run 'deepmd-charge predict -m charge.pb -s POSCAR_2 --like CHGCAR_2.gz -o CHGCAR_pred'

say "Compare with DFT (e/A^3)"
run 'deepmd-charge test -s CHGCAR_2.gz -p CHGCAR_pred --json test.json'
run 'deepmd-charge plot CHGCAR_2.gz CHGCAR_pred -o density.png --title "64 Si, trained on one other structure"'

say "In $PWD: charge.pb, CHGCAR_pred, test.json, density.png"
