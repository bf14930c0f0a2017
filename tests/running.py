# SPDX-License-Identifier: LGPL-3.0-or-later
"""LAMMPS for the tests."""

import subprocess


def lmp(programs, folder, script, ranks=1, *arguments):
    """Run a script in a folder; the output of a failure is shown by pytest."""
    command = [programs["lmp"], "-in", script, *arguments]
    if ranks > 1:
        command = [programs["mpirun"], "-n", str(ranks), *command]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(done.stdout[-2000:] + done.stderr[-2000:])
    return done
