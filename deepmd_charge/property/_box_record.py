# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the boxes of a file were made of: lines of JSON beside it.

``BOXES.npy.jsonl`` has the settings first, then for each density what tells it from others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ..errors import ChargeError
from ..grid.density import Density
from ..io.output import replacing
from ..stderr import progress_is_shown

__all__ = ["BoxRecord", "fingerprint"]


def fingerprint(density: Density) -> str:
    """A hash of all that boxes of a density depend on: its values, cell and origin."""
    found = hashlib.sha256()
    for part in (density.values.shape, density.atoms.cell.array, density.origin, density.values):
        found.update(np.ascontiguousarray(part, dtype=np.float64).data)
    return found.hexdigest()


class BoxRecord:
    """The record of a file of boxes.

    Parameters
    ----------
    path : Path
        The file of boxes.
    settings : mapping of str to number
        What is asked for, which the record is compared with.
    """

    def __init__(self, path: Path, settings: Mapping[str, float]) -> None:
        self._path = path.with_name(f"{path.name}.jsonl")
        self._settings = settings

    def begin(self, names: list[str]) -> None:
        """Write it anew, with what tells the densities that there are boxes of."""
        with replacing(self._path) as temporary:
            rows = (self._settings, *names)
            temporary.write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    def append(self, name: str) -> None:
        """Add what tells the next density, before its boxes are written."""
        with self._path.open("a") as file:
            file.write(f"{json.dumps(name)}\n")

    def checked(self, file: Path, n: int, name_of: Callable[[int], str]) -> list[str]:
        """What tells the n densities that a file has boxes of.

        Parameters
        ----------
        file : Path
            Complete or not; messages name it.
        n : int
        name_of : callable
            What tells density k of those that are given.

        Raises
        ------
        ChargeError
            If there is no record, or it is of other settings or densities.
        """
        from tqdm import tqdm

        try:
            lines = self._path.read_text().splitlines(keepends=True)
            # the last may be cut off
            first, *names = [json.loads(line) for line in lines if line.endswith("\n")]
        except (OSError, ValueError):
            raise ChargeError(
                f"{file}: {self._path.name}, which tells what its boxes are of, is not there or"
                " cannot be read; remove the boxes, or map them with open_boxes"
            ) from None
        remedy = "remove it, or write to another path"
        its = first if isinstance(first, dict) else {}
        pairs = {key: (its.get(key), value) for key, value in self._settings.items()}
        if differ := [f"{key} {a}, not {b}" for key, (a, b) in pairs.items() if a != b]:
            raise ChargeError(f"{file}: holds boxes of {'; '.join(differ)}: {remedy}")
        if len(names) < n:
            raise ChargeError(f"{file}: {self._path.name} tells of {len(names)} of {n}; {remedy}")
        names = names[:n]
        bar = tqdm(names, "check", unit="density", delay=1.0, disable=not progress_is_shown())
        for k, name in enumerate(bar):
            if name != name_of(k):
                raise ChargeError(
                    f"{file}: its boxes {k} are of another density than that given; {remedy}"
                )
        return names
