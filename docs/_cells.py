# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the kernel of an executed page runs first: ``%%bash`` that fails with its commands.

IPython's own goes on after a command that fails, and cuts the output into pieces.
"""

import subprocess

from IPython.core.magic import register_cell_magic


@register_cell_magic
def bash(line: str, cell: str) -> None:
    """Run a cell, print its standard output, and fail where one of its commands does."""
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", cell], capture_output=True, text=True, check=False
    )
    print(done.stdout, end="")
    if done.returncode:
        raise RuntimeError(f"exit status {done.returncode}\n{done.stderr}")
