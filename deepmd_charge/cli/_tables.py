# SPDX-License-Identifier: LGPL-3.0-or-later
"""Tables on standard output."""

from __future__ import annotations

from collections.abc import Sequence


def print_table(head: Sequence[str], units: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns below their heads and units, the first of them to the left."""
    lines = [list(head), list(units), *map(list, rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
    for first, *cells in lines:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *padded]).rstrip())
