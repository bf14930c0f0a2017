# SPDX-License-Identifier: LGPL-3.0-or-later
"""Inputs of many densities or structures, read and evaluated on all cores."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from ..errors import ChargeError
from ..grid.density import Density
from ..io.frames import no_such_frames, split_frames
from ..io.structures import iterate_structures
from ..stderr import progress_is_shown
from ..threads import in_processes
from ..typing import Floats
from .boxes import BoxSettings, BoxSource
from .extraction import BLOCKS, Extraction, Part
from .features import Feature, definition
from .inputs import KINDS, Block, Facts, Inputs, facts_of
from .sources import density_of, is_density, iterate_parts

__all__ = ["Encoder", "block_of", "gather", "parts_of"]

# Samples from which another process saves more than it takes to start.
_FEW = 16

# Name, facts (see `Facts`), features and boxes of a sample.
_Sample: TypeAlias = "tuple[str, tuple[str, float, float], Floats, Floats | None]"


class Encoder(Protocol):
    """What makes latent arrays of boxes."""

    @property
    def definition(self) -> str:
        """A hash of what it is."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the latent arrays of a density, (poses, c, m, m, m)."""

    @property
    def boxes(self) -> BoxSettings:
        """What it encodes."""

    def encode(self, boxes: Floats) -> Floats:
        """Latent arrays of a density."""


def gather(
    paths: Sequence[str],
    kinds: Sequence[str],
    encoder: Encoder | None = None,
    each_is_one: bool = True,
    n_processes: int = 1,
) -> Inputs:
    """Read densities or structures and make their inputs.

    Parameters
    ----------
    paths : sequence of str
        ``file@frame`` names one of several in a file.
    kinds : sequence of str
        Of `KINDS`.
    encoder : Encoder, optional
        For latent inputs.
    each_is_one : bool
        Whether a path that holds several frames is an error.
    n_processes : int

    Returns
    -------
    Inputs
        In the order of the paths.

    Raises
    ------
    ChargeError
        If a file cannot be read, or an element has no atomic density.
    """
    from tqdm import tqdm

    blocks = tuple(kind for kind in BLOCKS if kind in kinds)
    if encoder is None or "latent" not in kinds:
        sampler = _Sampler(Extraction(blocks))
    else:
        sampler = _Sampler(Extraction(blocks), encoder.boxes, encoder.shape[0])
    samples: list[list[_Sample]] = [[] for _ in paths]
    n_processes = min(n_processes, 1 + len(paths) // _FEW)
    with tqdm(total=len(paths), desc="inputs", unit="file", disable=not progress_is_shown()) as bar:
        for numbers, found, told in in_processes(sampler, parts_of(paths), n_processes):
            for text in told:
                warnings.warn(text, stacklevel=2)
            if isinstance(found, str):
                raise ChargeError(found)
            for sample in found:
                # networks have threads of their own
                name, facts, features, boxes = sample
                if encoder is not None and boxes is not None:
                    boxes = encoder.encode(boxes).astype(np.float32).ravel()
                for number in numbers:
                    samples[number].append((name, facts, features, boxes))
            bar.update(len(numbers))
    if each_is_one:
        for path, found in zip(paths, samples, strict=True):
            if len(found) != 1:
                raise ChargeError(f"{path}: holds {len(found)} frames; name one of them, {path}@0")
    return _inputs([sample for found in samples for sample in found], kinds, encoder)


# densities and structures


@dataclass(frozen=True)
class _Sampler:
    """What is computed of a density or a structure; processes get it by pickle."""

    extraction: Extraction
    boxes: BoxSettings | None = None
    n_poses: int = 0

    def __call__(
        self, item: tuple[list[int], Part]
    ) -> tuple[list[int], list[_Sample] | str, list[str]]:
        """Samples of a part, or what is wrong with it, and warnings."""
        numbers, part = item
        found: list[_Sample] | str
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                found = [self._sample(*each) for each in density_of(*part)]
            except ChargeError as error:
                found = str(error)
            except OSError as error:
                found = f"{error.filename or part[0]}: {error.strerror or error}"
        told = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
        return numbers, found, told

    def _sample(self, name: str, density: Density) -> _Sample:
        boxes = None
        if self.boxes is not None:
            # the same poses for every density
            generator = np.random.default_rng(0)
            try:
                boxes = BoxSource(density, self.boxes).boxes(self.n_poses, generator)
            except ChargeError as error:
                raise ChargeError(f"{name}: {error}") from None
        values = (
            self.extraction.row(name, density).values if self.extraction.blocks else np.empty(0)
        )
        _check_finite(name, values, self.extraction.columns)
        return name, facts_of(density.atoms), values, boxes


def _check_finite(name: str, values: Floats, columns: Sequence[Feature]) -> None:
    """Refuse invariants that are no numbers; of compositions MAGPIE does not know all."""
    may_be_unknown = {feature.name for feature in BLOCKS["composition"]}
    for value, feature in zip(values, columns, strict=True):
        if not np.isfinite(value) and feature.name not in may_be_unknown:
            raise ChargeError(f"{name}: its {feature.name} is no finite number; leave it out")


def parts_of(paths: Sequence[str]) -> Iterator[tuple[list[int], Part]]:
    """What is to be evaluated, with the numbers of the paths that it belongs to.

    Structures of one file are read in one go, however many paths name them.
    """
    frames_of: dict[str, dict[int, list[int]]] = {}
    for number, path in enumerate(paths):
        file, frames = split_frames(path)
        if frames is not None and frames.isdecimal() and not is_density(path):
            frames_of.setdefault(file, {}).setdefault(int(frames), []).append(number)
            continue
        for part in iterate_parts(path):
            yield [number], part
    for file, wanted in frames_of.items():
        count = 0
        for frame, atoms, _ in iterate_structures(file, f":{max(wanted) + 1}"):
            count = 1 + (frame or 0)
            if (frame or 0) in wanted:
                yield wanted.pop(frame or 0), (f"{file}@{frame or 0}", atoms)
        if wanted:
            raise no_such_frames(file, str(min(wanted)), count)


def _inputs(samples: Sequence[_Sample], kinds: Sequence[str], encoder: Encoder | None) -> Inputs:
    if not samples:
        raise ChargeError("there are no densities; give some")
    names, facts, features, latents = zip(*samples, strict=True)
    values = np.array(features)
    blocks, start = {}, 0
    for kind in (kind for kind in BLOCKS if kind in kinds):
        end = start + len(BLOCKS[kind])
        blocks[kind] = block_of(kind, values[:, start:end])
        start = end
    if encoder is not None and "latent" in kinds:
        arrays = np.array(latents)
        columns = tuple(f"latent {k}" for k in range(arrays.shape[1]))
        blocks["latent"] = Block(columns, arrays, encoder.definition, encoder.shape)
    in_order = {kind: blocks[kind] for kind in KINDS if kind in blocks}
    return Inputs(names, Facts.of(facts), in_order)


def block_of(kind: str, values: Floats) -> Block:
    """Columns of features that are ours."""
    return Block(tuple(f.name for f in BLOCKS[kind]), values, definition(BLOCKS[kind]))
