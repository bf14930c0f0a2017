#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-3.0-or-later
# From densities to bulk and shear moduli: 300 binary compounds with superposed atoms, and then
# the self-consistent density of aluminium. The first argument names the folder for results.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:-property}"
cd "${1:-property}"

say() { printf '\n== %s\n' "$*"; }
run() {
    printf '$ %s\n' "$*"
    "$@"
}

cp "$here"/labels.csv "$here"/binaries.extxyz .
cp "$here"/../../tests/data/CHGCAR_Al32.gz CHGCAR_Al.gz

say "Invariants of 300 superposed densities, once"
run deepmd-charge property features binaries.extxyz -o features.csv

say "Cross-validation in 5 folds, parity plots, and a model of all"
run deepmd-charge property train labels.csv --features features.csv \
    --targets K G --inputs invariants composition --folds 5 --json cv.json --plot moduli \
    -o moduli.zip

say "Moduli of aluminium from its DFT density, with intervals (experiment: K 76, G 26 GPa)"
run deepmd-charge property predict -m moduli.zip CHGCAR_Al.gz -o aluminium.csv
cat aluminium.csv
