# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a model is made of, and where the kernel finds it in memory."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ..typing import Floats

if TYPE_CHECKING:
    from .compiler import Machine

__all__ = ["Columns", "Invariants", "Layer", "Moments", "Net", "round_up"]


def round_up(n: int, multiple: int) -> int:
    """The smallest multiple that is not below n."""
    return -(-n // multiple) * multiple


@dataclass
class Moments:
    """The settings of the descriptor that shape its moments and invariants.

    Attributes
    ----------
    lmax, n_channel, axis, n_triple : int
    triples : list of tuple
    eps, rcut : float
        Lengths in A.
    separate : bool
        Whether every l has radial functions of its own, and gives invariants
        of its own.
    linear : bool
        Whether there is a pair-additive term.
    scaled : bool
        Whether each atom scales its radial functions, but for the pair-additive one.
    """

    lmax: int
    n_channel: int
    axis: int
    triples: list[tuple[int, ...]]
    n_triple: int
    eps: float
    rcut: float
    separate: bool
    linear: bool
    scaled: bool = False

    @property
    def n_harmonics(self) -> int:
        """The number of harmonics up to lmax."""
        return (self.lmax + 1) ** 2

    @property
    def groups(self) -> list[list[int]]:
        """Lists of the harmonics that share radial functions."""
        if not self.separate:
            return [list(range(self.n_harmonics))]
        return [list(range(l * l, (l + 1) ** 2)) for l in range(self.lmax + 1)]

    def n_functions(self, group: int) -> int:
        """The number of radial functions of a group, the pair-additive one included."""
        return self.n_channel + (self.linear and group == 0)


class Columns:
    """Where the radial functions of each group lie in a row of the table, padded to vectors."""

    def __init__(self, moments: Moments, width: int) -> None:
        counts = [moments.n_functions(g) for g in range(len(moments.groups))]
        self.vectors = [round_up(n, width) // width for n in counts]
        self.first: list[int] = np.concatenate([[0], np.cumsum(self.vectors)]).tolist()
        self.width = width
        self._counts = counts

    def pack(self, table: Floats, real: str) -> Floats:
        """Order coefficients (..., degree + 1, functions) as the kernel reads them."""
        *lead, terms, _ = table.shape
        out = np.zeros([*lead, self.first[-1], terms, self.width], real)
        at = 0
        for first, vectors, count in zip(self.first[:-1], self.vectors, self._counts, strict=True):
            padded = np.zeros([*lead, terms, vectors * self.width])
            padded[..., :count] = table[..., at : at + count]
            padded = padded.reshape(*lead, terms, vectors, self.width)
            out[..., first : first + vectors, :, :] = np.moveaxis(padded, -2, -3)
            at += count
        return out


class Invariants:
    """Where the invariants lie in memory, and which of the model's features they are."""

    def __init__(self, moments: Moments, width: int) -> None:
        m = moments
        self.stride_channel = round_up(m.n_channel, width)
        self.stride_triple = round_up(m.n_triple, width)
        self.slots: list[int] = []
        self.features: list[list[int]] = []
        self.grams: list[int] = []
        self.triples: list[int] = []
        at = feature = 0
        if m.separate:
            self._take(0, [[c] for c in range(m.n_channel)])
            at, feature = self.stride_channel, m.n_channel
        for _ in m.groups:
            self.grams.append(at)
            for a in range(m.axis):
                # c a and a c are one number; the model has it once or twice
                pairs = [
                    sorted({c * m.axis + a, *([a * m.axis + c] if c < m.axis else [])})
                    for c in range(a, m.n_channel)
                ]
                self._take(at + a, [[feature + k for k in pair] for pair in pairs])
                at += self.stride_channel
            feature += m.n_channel * m.axis
        for _ in m.triples:
            self.triples.append(at)
            for a in range(m.axis):
                self._take(at, [[feature + k * m.axis + a] for k in range(m.n_triple)])
                at += self.stride_triple
            feature += m.n_triple * m.axis
        self.size = at

    def _take(self, at: int, features: list[list[int]]) -> None:
        self.slots += range(at, at + len(features))
        self.features += features

    @property
    def segments(self) -> list[tuple[int, int]]:
        """(start, length) of the runs of slots that the net reads."""
        breaks = [0, *(np.flatnonzero(np.diff(self.slots) != 1) + 1).tolist(), len(self.slots)]
        return [(self.slots[a], b - a) for a, b in pairwise(breaks)]


@dataclass
class Layer:
    """One layer of the net.

    Attributes
    ----------
    matrix, bias : np.ndarray
        (n_in, n_out) and (n_out,)
    activation : str
    skips : int
        How often its input is added to its output.
    """

    matrix: Floats
    bias: Floats
    activation: str
    skips: int


class Net:
    """The layers as the kernel reads them: in panels of so many vectors of outputs."""

    def __init__(
        self,
        layers: list[Layer],
        invariants: Invariants,
        machine: Machine,
        width: int,
        real: str,
    ) -> None:
        self.layers = layers
        # accumulators, a row of weights and one input fill the registers
        self.rows = 6 if machine.registers < 32 else 12
        first = np.stack([layers[0].matrix[f].sum(axis=0) for f in invariants.features])
        matrices = [first, *(layer.matrix for layer in layers[1:])]
        self.panels = [2 * width if m.shape[1] > width else width for m in matrices]
        self.outputs = [round_up(m.shape[1], p) for m, p in zip(matrices, self.panels, strict=True)]
        # room for an output twice, for a layer that adds it twice
        self.stride = max(o + m.shape[1] for o, m in zip(self.outputs, matrices, strict=True))
        self.inputs = [invariants.segments] + [[(0, len(m))] for m in matrices[1:]]
        self.offsets: list[int] = []
        packed: list[Floats] = []
        at = 0
        for matrix, layer, panel, n_out in zip(
            matrices, layers, self.panels, self.outputs, strict=True
        ):
            full = np.zeros([len(matrix) + 1, n_out])
            full[0, : matrix.shape[1]] = layer.bias
            full[1:, : matrix.shape[1]] = matrix
            full = full.reshape(len(full), -1, panel).transpose(1, 0, 2)
            self.offsets.append(at)
            at += full.size
            packed.append(full.reshape(-1))
        self.packed: Floats = np.concatenate(packed).astype(real)
