#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-3.0-or-later
# From runs of pw.x to a model to a faster run of pw.x: run.sh [--quick] [FOLDER]
# Needs pw.x and a silicon potential (Debian: quantum-espresso, quantum-espresso-data).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
n_train=6 ecutwfc=20 points=6000
if [ "${1:-}" = --quick ]; then
    n_train=3 ecutwfc=12 points=4000
    shift
fi
folder=${1:-qe_demo}
pseudo_dir=${ESPRESSO_PSEUDO:-/usr/share/espresso/pseudo}
export TF_CPP_MIN_LOG_LEVEL=2 OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

say() { printf '\n== %s\n' "$*"; }
run() {
    printf '$ %s\n' "$*"
    "$@"
}
quiet() {
    printf '$ %s   # log: %s\n' "${*:2}" "$1"
    "${@:2}" > "$1" 2>&1 || { tail -n 20 "$1"; exit 1; }
}
iterations() { sed -n 's/.*achieved in *\([0-9]*\) iterations.*/\1/p' "$1"; }
energy() { sed -n 's/^! *total energy *= *\(.*\) Ry/\1/p' "$1"; }

[ -e "$pseudo_dir/Si.pz-vbc.UPF" ] || { echo "no $pseudo_dir/Si.pz-vbc.UPF: set ESPRESSO_PSEUDO"; exit 1; }
[ ! -e "$folder" ] || { echo "$folder is there already: give the name of a new folder"; exit 1; }
python "$here/inputs.py" "$folder" "$n_train" "$ecutwfc" "$pseudo_dir"
cd "$folder"
cp "$here/input.json" .

say "$n_train runs of pw.x on eight silicon atoms, displaced at random"
for each in train_*; do (cd "$each" && quiet pw.out pw.x -in pw.in); done

say "Their densities become training data, and a model"
run deepmd-charge convert train_*/si.save -o train --points "$points" --seed 1
quiet train.log dp train input.json
quiet freeze.log dp freeze -o charge.pb

say "Another structure, as usual"
cd new
quiet pw.out pw.x -in pw.in

say "The same structure, from the predicted density"
mkdir ../start && cp pw.in ../start && cd ../start
run deepmd-charge qe start -m ../charge.pb -i pw.in -o new.in
quiet new.out pw.x -in new.in

say "Iterations to 1e-8 Ry"
printf 'from atoms:          %s, energy %s Ry\n' "$(iterations ../new/pw.out)" "$(energy ../new/pw.out)"
printf 'from the prediction: %s, energy %s Ry\n' "$(iterations new.out)" "$(energy new.out)"
