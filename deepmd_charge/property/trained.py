# SPDX-License-Identifier: LGPL-3.0-or-later
"""A trained model of properties: one file with all that predictions need.

The file is a zip: ``header.json`` (versions, properties with units, what they are learned from,
settings, scores of held-out samples, scales of intervals, elements of the training samples),
``trees/`` (LightGBM's own text), ``columns.npz`` (ranges and principal components), and, where
they are used, ``attention.npz`` and ``autoencoder.npz`` (weights). Nothing in it is run as code.
"""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from .. import __version__
from ..errors import ChargeError
from ..io.output import replacing
from ..stderr import progress_is_shown
from ..typing import Floats, PathLike
from .attention import AttentionNetwork, AttentionSettings
from .electron_counts import check_electrons
from .folds import parse_formula
from .inputs import Inputs
from .intervals import IntervalScale
from .matrix import MatrixColumns, PrincipalComponents
from .regressors import Fitted, Settings, fit
from .targets import Target
from .trees import Ensemble, TreeSettings
from .validation import OutOfFold, scaled_labels

__all__ = ["Prediction", "PropertyModel", "train_model"]

_FORMAT = "deepmd-charge property model"
_VERSION = 1
_HEADER = "header.json"
_COLUMNS = "columns.npz"
_NETWORK = "attention.npz"
_AUTOENCODER = "autoencoder.npz"


@dataclass(frozen=True)
class Prediction:
    """Properties of samples, in their units.

    Attributes
    ----------
    values, lower, upper : np.ndarray
        (n, t).
    """

    values: Floats
    lower: Floats
    upper: Floats


@dataclass(frozen=True)
class PropertyModel:
    """A trained model.

    Attributes
    ----------
    targets : tuple of Target
        t properties.
    definitions : dict
        Hash of what each kind of input is, by the kinds.
    inputs : dict
        Names of the columns of each kind.
    regressor : Fitted
    intervals : tuple of IntervalScale
        (t).
    elements : dict
        Number of training samples with each element.
    valences : dict
        Valence electrons of elements in the training densities.
    scores : dict
        Of held-out samples, by the names of properties.
    settings : Settings
    package : str
        Version of the package that made the model.
    autoencoder : bytes
        File of the autoencoder; empty where there is none.
    """

    targets: tuple[Target, ...]
    definitions: dict[str, str]
    inputs: dict[str, tuple[str, ...]]
    regressor: Fitted
    intervals: tuple[IntervalScale, ...]
    elements: dict[str, int]
    valences: dict[str, float]
    scores: dict[str, dict[str, Any]]
    settings: Settings
    package: str
    autoencoder: bytes = b""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the inputs."""
        return tuple(self.definitions)

    @property
    def names(self) -> list[str]:
        """Names of the properties."""
        return [target.name for target in self.targets]

    def predict(self, inputs: Inputs, name: str = "the model") -> Prediction:
        """Predict all properties of samples, with intervals.

        Parameters
        ----------
        inputs : Inputs
            n samples with the kinds of inputs that the model was trained with.
        name : str
            Of the model, for complaints.

        Returns
        -------
        Prediction

        Raises
        ------
        ChargeError
            If the inputs are others, or of densities with other valence electrons.
        """
        self.check(inputs, name)
        facts = inputs.facts
        check_electrons(self.valences, inputs.files, facts.formulas, facts.electrons)
        found = self.regressor.predict(inputs)
        parts = []
        for place, (target, scale) in enumerate(zip(self.targets, self.intervals, strict=True)):
            values = found.values[:, place]
            half = scale.half_width(found.spread[:, place], found.outside)
            parts.append([target.from_scale(v) for v in (values, values - half, values + half)])
        return Prediction(*(np.stack(part, axis=1) for part in zip(*parts, strict=True)))

    def check(self, inputs: Inputs, name: str = "the model") -> None:
        """Raise ChargeError if inputs are not what the model was trained with."""
        for kind, names in self.inputs.items():
            if kind not in inputs.blocks:
                raise ChargeError(f"{name}: needs {kind}, which the samples lack")
            block = inputs.blocks[kind]
            if block.names != names:
                differing = set(block.names) ^ set(names)
                which = min(differing) if differing else "their order"
                raise ChargeError(
                    f"{name}: was trained with other {kind}: {len(names)} columns, here are"
                    f" {len(block.names)}; they differ in {which}; train it again"
                )
            if block.definition != self.definitions[kind]:
                raise ChargeError(
                    f"{name}: was trained with {kind} of another definition (version"
                    f" {self.package}); train it again, or take that version"
                )

    def unknown_elements(self, formulas: Sequence[str]) -> dict[str, list[int]]:
        """Elements that no training sample had, with the numbers of the samples that have them."""
        found: dict[str, list[int]] = {}
        for number, formula in enumerate(formulas):
            for element in parse_formula(formula):
                if element not in self.elements:
                    found.setdefault(element, []).append(number)
        return found

    def save(self, path: PathLike) -> None:
        """Write the model to a file, which appears when it is complete."""
        columns = self.regressor.columns
        header = {
            "format": _FORMAT,
            "version": _VERSION,
            "package": self.package,
            "targets": [asdict(target) for target in self.targets],
            "definitions": self.definitions,
            "inputs": self.inputs,
            "intervals": [asdict(scale) for scale in self.intervals],
            "elements": self.elements,
            "valences": self.valences,
            "scores": self.scores,
            "settings": asdict(self.settings),
            "columns": [columns.names, columns.kinds],
            "members": [len(ensemble.texts) for ensemble in self.regressor.ensembles],
        }
        arrays: dict[str, Any] = {"low": columns.low, "high": columns.high}
        if columns.components is not None:
            arrays |= {"mean": columns.components.mean, "directions": columns.components.directions}
        content = io.BytesIO()
        np.savez(content, **arrays)
        with (
            replacing(path) as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file,
        ):
            _put(file, _HEADER, json.dumps(header, indent=1).encode())
            _put(file, _COLUMNS, content.getvalue())
            for t, ensemble in enumerate(self.regressor.ensembles):
                for m, text in enumerate(ensemble.texts):
                    _put(file, _tree_name(t, m), text.encode())
            if self.regressor.network is not None:
                _put(file, _NETWORK, self.regressor.network.to_bytes())
            if self.autoencoder:
                _put(file, _AUTOENCODER, self.autoencoder)

    @classmethod
    def load(cls, path: PathLike) -> PropertyModel:
        """Read a model.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        PropertyModel

        Raises
        ------
        ChargeError
            If it is no such file, is damaged, or of a newer version.
        """
        path = os.fspath(path)
        try:
            with zipfile.ZipFile(path) as file:
                return cls._read(file, path)
        except ChargeError as error:
            # of a part, which does not know the name of the file
            told = str(error)
            raise ChargeError(told if told.startswith(path) else f"{path}: {told}") from None
        except OSError as error:
            raise ChargeError(f"{path}: cannot be read: {error.strerror or error}") from None
        except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError):
            raise ChargeError(
                f"{path}: is no model of properties, or is damaged; give a file of"
                " `property train -o`"
            ) from None
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ChargeError(
                f"{path}: is a damaged model of properties ({reason}); copy or train it again"
            ) from None

    @classmethod
    def _read(cls, file: zipfile.ZipFile, path: str) -> PropertyModel:
        if _HEADER not in file.namelist():
            raise ChargeError(
                f"{path}: is no model of properties; give a file of `property train -o`"
            )
        header = json.loads(file.read(_HEADER))
        if not isinstance(header, dict) or header.get("format") != _FORMAT:
            raise ChargeError(
                f"{path}: is no model of properties; give a file of `property train -o`"
            )
        if header["version"] > _VERSION:
            raise ChargeError(
                f"{path}: is of version {header['version']} ({header['package']}), newer than this"
                f" package, which reads {_VERSION}; upgrade deepmd-charge"
            )
        with np.load(io.BytesIO(file.read(_COLUMNS)), allow_pickle=False) as arrays:
            components = None
            if "mean" in arrays:
                components = PrincipalComponents(arrays["mean"], arrays["directions"])
            names, kinds = map(tuple, header["columns"])
            columns = MatrixColumns(names, kinds, components, arrays["low"], arrays["high"])
        ensembles = tuple(
            Ensemble(tuple(file.read(_tree_name(t, m)).decode() for m in range(n_members)))
            for t, n_members in enumerate(header["members"])
        )
        settings = dict(header["settings"])
        settings["trees"] = TreeSettings(**settings["trees"])
        settings["attention"] = AttentionSettings(**settings["attention"])
        there = file.namelist()
        network = AttentionNetwork.from_bytes(file.read(_NETWORK)) if _NETWORK in there else None
        return cls(
            tuple(Target(**target) for target in header["targets"]),
            header["definitions"],
            {kind: tuple(names) for kind, names in header["inputs"].items()},
            Fitted(columns, ensembles, network),
            tuple(IntervalScale(**scale) for scale in header["intervals"]),
            header["elements"],
            header["valences"],
            header["scores"],
            Settings(**settings),
            header["package"],
            file.read(_AUTOENCODER) if _AUTOENCODER in there else b"",
        )


def train_model(
    inputs: Inputs,
    found: OutOfFold,
    settings: Settings,
    coverage: float,
    scores: dict[str, dict[str, Any]],
    valences: dict[str, float],
    autoencoder: bytes = b"",
) -> PropertyModel:
    """Train on all samples; intervals are scaled by predictions of those that were held out.

    Parameters
    ----------
    inputs : Inputs
    found : OutOfFold
        Of the same samples.
    settings : Settings
    coverage : float
        Fraction of labels that the intervals are to hold.
    scores : dict
        To be kept in the model.
    valences : dict
        Of :func:`.common_valences`.
    autoencoder : bytes
        Its file.

    Returns
    -------
    PropertyModel
    """
    from tqdm import tqdm

    total = settings.n_fits(len(found.targets))
    with tqdm(total=total, desc="model", unit="fit", disable=not progress_is_shown()) as bar:
        regressor = fit(inputs, scaled_labels(found.labels, found.targets), settings, bar.update)
    elements = Counter(
        element
        for formula, labels in zip(inputs.facts.formulas, found.labels, strict=True)
        if np.isfinite(labels).any()
        for element in parse_formula(formula)
    )
    return PropertyModel(
        found.targets,
        inputs.definitions,
        {kind: block.names for kind, block in inputs.blocks.items()},
        regressor,
        tuple(found.interval_scale(name, coverage) for name in found.names),
        dict(sorted(elements.items())),
        valences,
        scores,
        replace(settings, n_threads=1),
        __version__,
        autoencoder,
    )


def _tree_name(target: int, member: int) -> str:
    return f"trees/{target}/{member}.txt"


def _put(file: zipfile.ZipFile, name: str, content: bytes) -> None:
    # without the time, so that the same training gives the same file
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    file.writestr(info, content)
