# SPDX-License-Identifier: LGPL-3.0-or-later
"""``dp`` in processes that have imported DeePMD-kit already, which takes most of a short run.

A server imports it once and forks for every command. What the commands write
is what the program writes: ``tests/test_training.py`` compares.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["deepmd.tf.entrypoints.main", "deepmd.tf.entrypoints.train", "deepmd.tf.entrypoints.freeze"]
)


def _command(arguments, folder, environment, output, errors):
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in ((1, output), (2, errors)):
        target = os.open(path, os.O_WRONLY)
        os.dup2(target, number)
        os.close(target)
    from deepmd.main import main

    sys.argv = ["dp", *arguments]
    sys.exit(main())


def dp(folder, *arguments):
    """Run ``dp`` in a folder, and return what `subprocess.run` would."""
    arguments = list(map(str, arguments))
    with tempfile.TemporaryDirectory() as scratch:
        output, errors = Path(scratch, "stdout"), Path(scratch, "stderr")
        output.touch()
        errors.touch()
        process = CONTEXT.Process(
            target=_command, args=(arguments, str(folder), dict(os.environ), output, errors)
        )
        process.start()
        process.join()
        texts = (path.read_text() for path in (output, errors))
        return subprocess.CompletedProcess(["dp", *arguments], process.exitcode, *texts)
