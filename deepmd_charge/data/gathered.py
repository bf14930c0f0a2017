# SPDX-License-Identifier: LGPL-3.0-or-later
"""Warnings of many files, of which each kind is given once."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import ElectronCountWarning

__all__ = ["GatheredWarnings"]

_CATEGORIES: dict[str, type[Warning]] = {
    category.__name__: category for category in (ElectronCountWarning, UserWarning)
}
_NUMBER = re.compile(r"[-+]?\d[\d.]*(e[-+]?\d+)?")


class GatheredWarnings:
    """What is warned of file by file, and given when a ``with`` statement ends."""

    def __init__(self) -> None:
        # by category, and text without numbers: the first text, and of how many files
        self._found: dict[tuple[str, str], list[Any]] = {}

    def __enter__(self) -> GatheredWarnings:
        return self

    def __exit__(self, *_: object) -> None:
        for (category, _kind), (text, n) in self._found.items():
            more = f" (and {n - 1} more like it)" if n > 1 else ""
            warnings.warn(text + more, _CATEGORIES[category], stacklevel=3)

    @contextmanager
    def of_file(self, path: str) -> Iterator[list[tuple[str, str]]]:
        """Gather what is warned of in a ``with`` statement: categories and texts, as they come.

        Parameters
        ----------
        path : str
            The file that it is about.
        """
        found: list[tuple[str, str]] = []
        show = warnings.showwarning

        def gather(
            message: Warning | str, category: type[Warning], *where: Any, **more: Any
        ) -> None:
            if category.__name__ not in _CATEGORIES:
                show(message, category, *where, **more)
                return
            found.append((category.__name__, str(message)))

        with warnings.catch_warnings():
            warnings.showwarning = gather
            try:
                yield found
            finally:
                self.recall(found)

    def recall(self, found: list[tuple[str, str]]) -> None:
        """Count what was warned of before, categories and texts."""
        for category, text in found:
            name, _, kind = text.partition(": ")
            key = category, _NUMBER.sub("#", kind or name)
            self._found.setdefault(key, [text, 0])[1] += 1
