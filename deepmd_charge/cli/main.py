# SPDX-License-Identifier: LGPL-3.0-or-later
"""Entry point of the command ``deepmd-charge``, which a Ctrl-C ends in a line at any time.

Imports of all the rest take the first second: they are made where it is caught.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``deepmd-charge``.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        Exit status: 0, 1 after an error, 130 after Ctrl-C or a SIGTERM. As
        usual with argparse, wrong arguments exit with status 2.
    """
    try:
        from .command_line import run

        return run(argv)
    except KeyboardInterrupt as stop:
        why = f": {stop}" if str(stop) else ""
        print(f"\ndeepmd-charge: interrupted{why}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
