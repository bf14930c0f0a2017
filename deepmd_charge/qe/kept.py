# SPDX-License-Identifier: LGPL-3.0-or-later
"""Runs of pw.x that are kept: one folder each, and what has been run is not run again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ..errors import ChargeError
from ..typing import PathLike
from .input import PwInput
from .program import Program
from .result import Result, read_printed, read_result
from .start import Settings

__all__ = ["KeptRuns"]

PREFIX = "pwscf"
_OUTPUT = "pw.out"
_INPUT = f"{_OUTPUT}.in"  # as Program.run calls it
_WAVE_FUNCTIONS = ("wfc*", "*.wfc*", "*.mix*", "*.restart*")


class KeptRuns:
    """Runs of one structure, with different settings.

    Parameters
    ----------
    folder : str or os.PathLike
        Of their folders; made where it is missing.
    input : PwInput
        What they have in common.
    program : Program
    report : callable
        Is told the name of a run before it is made.
    """

    def __init__(
        self,
        folder: PathLike,
        input: PwInput,
        program: Program,
        report: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.folder = Path(folder)
        self._input, self.program, self.report = input, program, report
        base = Path(input.path).resolve().parent
        self._common: dict[str, str | None] = {
            "calculation": "'scf'", "restart_mode": None, "prefix": f"'{PREFIX}'",
            "outdir": "'.'", "wfcdir": None, "disk_io": "'low'", "max_seconds": None,
            "pseudo_dir": f"'{(base / input.pseudo_dir).resolve()}'",
        }  # fmt: skip
        self.folder.mkdir(parents=True, exist_ok=True)

    def save(self, name: str) -> Path:
        """The prefix.save folder of a run."""
        return self.folder / name / f"{PREFIX}.save"

    def text(self, settings: Settings, startingpot: str = "'atomic'") -> str:
        """The input with settings, and with those that all runs have."""
        settings = {key: dict(values) for key, values in settings.items()}
        settings["control"] = {**self._common, **settings.get("control", {})}
        electrons: dict[str, str | None] = {"startingpot": startingpot, "startingwfc": None}
        settings["electrons"] = {**electrons, **settings.get("electrons", {})}
        return self._input.with_settings(settings)

    def run(self, name: str, settings: Settings, start: PathLike | None = None) -> Result:
        """What a run finds; it is made unless it is there.

        Parameters
        ----------
        name : str
            Of its folder.
        settings : dict of dict
            As for ``PwInput.with_settings``.
        start : str or os.PathLike, optional
            A prefix.save folder whose density it begins with; by default superposed atoms.

        Returns
        -------
        Result

        Raises
        ------
        ChargeError
            If pw.x is missing or fails, or a run that is there had other settings.
        """
        self.ensure(name, settings, start)
        return read_result(self.save(name), self.folder / name / _OUTPUT)

    def ensure(self, name: str, settings: Settings, start: PathLike | None = None) -> None:
        """Make a run unless it is there; see :meth:`run`."""
        text = self.text(settings, "'file'" if start else "'atomic'")
        folder = self.folder / name
        if self._is_finished(folder, text):
            return
        self.report(name)
        shutil.rmtree(folder, ignore_errors=True)
        save = self.save(name)
        save.mkdir(parents=True)
        if start is not None:
            for file in Path(start).iterdir():
                shutil.copy(file, save)
        self.program.run(text, folder, folder / _OUTPUT)
        for pattern in _WAVE_FUNCTIONS:
            for place in (folder, save):
                for file in place.glob(pattern):
                    file.unlink()

    @staticmethod
    def _is_finished(folder: Path, text: str) -> bool:
        try:
            read_printed(folder / _OUTPUT)
            earlier = (folder / _INPUT).read_text()
        except (ChargeError, OSError):
            return False
        if earlier != text:
            raise ChargeError(
                f"{os.path.relpath(folder)}: of a run with other settings: give another folder (-o)"
            )
        return True
