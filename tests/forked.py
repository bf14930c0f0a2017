# SPDX-License-Identifier: LGPL-3.0-or-later
"""Python in processes that have imported DeePMD-kit already, which takes most of a short run.

A server imports it once and forks for every program. What these write is what
they write when they are started: ``tests/test_training.py`` compares.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["deepmd.tf.entrypoints.main", "deepmd.tf.entrypoints.train", "deepmd.tf.entrypoints.freeze"]
)


def _run(words, folder, environment, output, errors):
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in ((1, output), (2, errors)):
        target = os.open(path, os.O_WRONLY)
        os.dup2(target, number)
        os.close(target)
    flag, program, *arguments = words
    sys.argv = [flag, *arguments]
    if flag == "-m":
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})


def python(*words, folder="."):
    """What `subprocess.run` returns of ``python -m MODULE ARGUMENTS`` or ``python -c CODE ...``."""
    assert words[0] in ("-m", "-c")
    with tempfile.TemporaryDirectory() as scratch:
        output, errors = Path(scratch, "stdout"), Path(scratch, "stderr")
        output.touch()
        errors.touch()
        process = CONTEXT.Process(
            target=_run,
            args=([*map(str, words)], os.path.abspath(folder), dict(os.environ), output, errors),
        )
        process.start()
        process.join()
        texts = (path.read_text() for path in (output, errors))
        return subprocess.CompletedProcess(["python", *words], process.exitcode, *texts)
