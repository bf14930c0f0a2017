#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-3.0-or-later
# Learn the difference between the electron density of silicon and superposed
# atomic densities; predict the total. The first argument names the folder for
# results, the second the source of the atomic densities (docs/saed.md).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
data=$(cd "$here/../silicon/data" && pwd)
source=${2:-fit}
# a relative path is one from here
case $source in
upf:/* | potcar:/* | /*) ;;
upf:* | potcar:*) source=${source%%:*}:$PWD/${source#*:} ;;
*/* | *.npz) source=$PWD/$source ;;
esac
mkdir -p "${1:-delta}"
cd "${1:-delta}"
export TF_CPP_MIN_LOG_LEVEL=2

say() { printf '\n== %s\n' "$*"; }
run() {
    printf '$ %s\n' "$*"
    "$@"
}
quiet() {
    printf '$ %s   # log: %s\n' "${*:2}" "$1"
    "${@:2}" > "$1" 2>&1 || { tail -n 20 "$1"; exit 1; }
}

rm -rf train
cp "$here/input.json" .

say "Grid points, and the superposition ($source) at each; its table is train/saed.npz"
# Quantum ESPRESSO's own: $0 delta upf:FOLDER, with the ecutrho of this run
case $source in upf:*) set -- --saed-ecutrho 100 ;; *) set -- ;; esac
run deepmd-charge convert "$data/1/CHGCAR.gz" -o train --seed 1 --saed "$source" "$@"

say "Train with model.saed = train/saed.npz (input.json), and freeze"
quiet train.log dp train input.json
quiet freeze.log dp freeze -o charge.pb

say "The model adds the atoms again: this is the total density of another structure"
run deepmd-charge predict -m charge.pb -s "$data/2/POSCAR" --like "$data/2/CHGCAR.gz" -o CHGCAR_pred
run deepmd-charge test -s "$data/2/CHGCAR.gz" -p CHGCAR_pred --json test.json

say "The same, scaled to a whole number of electrons"
run deepmd-charge predict -m charge.pb -s "$data/2/POSCAR" --grid 36 36 36 --electrons auto -o CHGCAR_256
