# SPDX-License-Identifier: LGPL-3.0-or-later
"""A prefix.save folder that is there when it is complete, and as it was otherwise."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import ChargeError
from ..typing import PathLike

__all__ = ["check_place", "preparing"]


def check_place(save: PathLike, force: bool) -> None:
    """Refuse, before any work is done, to replace a prefix.save folder unasked.

    Parameters
    ----------
    save : str or os.PathLike
    force : bool
        Whether the user asked for it.

    Raises
    ------
    ChargeError
        If something is there, or the folder above cannot be written to.
    """
    save = Path(save)
    if os.path.lexists(save) and not (force and save.is_dir()):
        remedy = "replace it by --force, or take another prefix or outdir"
        raise ChargeError(
            f"{save}: is there already: {remedy}"
            if save.is_dir()
            else f"{save}: is a file, where a folder is due: take another prefix or outdir"
        )
    there = _first_that_is_there(save.parent)
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ChargeError(f"{save}: cannot write in {there}: take another outdir")


@contextmanager
def preparing(save: PathLike) -> Iterator[Path]:
    """Make a prefix.save folder in a temporary outdir, and move it into place at the end.

    Parameters
    ----------
    save : str or os.PathLike
        Its final name. A folder of that name is replaced.

    Yields
    ------
    Path
        The temporary outdir, in which a folder of the same name is to be made. After an
        exception it is removed, and what was there is as it was.
    """
    save = Path(os.path.abspath(save))
    missing = _missing(save.parent)
    save.parent.mkdir(parents=True, exist_ok=True)
    outdir = Path(tempfile.mkdtemp(prefix=f".{save.stem}.", dir=save.parent))
    try:
        yield outdir
        _move(outdir / save.name, save, outdir)
    except BaseException:
        shutil.rmtree(outdir, ignore_errors=True)
        for folder in missing:
            with suppress(OSError):  # it holds something, such as what pw.x printed
                folder.rmdir()
        raise
    shutil.rmtree(outdir, ignore_errors=True)


def _move(new: Path, save: Path, outdir: Path) -> None:
    """Put a folder into the place of another one, which comes back if that fails."""
    if not os.path.lexists(save):
        os.rename(new, save)
        return
    old = outdir / "old"
    os.rename(save, old)
    try:
        os.rename(new, save)
    except BaseException:
        os.rename(old, save)
        raise


def _missing(folder: Path) -> list[Path]:
    """The folders of a path that are not there, from the innermost."""
    return [each for each in (folder, *folder.parents) if not os.path.lexists(each)]


def _first_that_is_there(folder: Path) -> Path:
    absolute = Path(os.path.abspath(folder))
    return next(each for each in (absolute, *absolute.parents) if os.path.lexists(each))
