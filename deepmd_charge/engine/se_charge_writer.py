# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The program of what a model of the family ``se_charge`` has learnt: see :func:`build`.

The equations are those of :mod:`deepmd_charge.model.equations.se_charge`, regrouped. The
mixing of radial functions is linear, so it is done before the sum over neighbours, once for
all distances:

.. math:: B_{c,lm} = \sum_j g^{z_j}_{lc}(r_j) \, Y_{lm}(\mathbf u_j), \qquad
          g^z_{lc}(r) = \sum_n R_n(r) M^l_{zn,c}

with g in tables; where atoms respond to their surroundings each scales its own functions. The
pair-additive term is one more function beside l = 0.
Standardisation is folded into the first layer of the net, and of the products
:math:`B_c \cdot B_{c'}` that occur twice one is taken.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..model.kernels.coupling import coupling
from ..model.kernels.harmonics import harmonics
from ..model.kernels.network import activation
from ..model.kernels.radial import inverse_distance
from ..typing import Floats, Integers
from .compiler import Machine
from .kernel import Kernel, Writer
from .layout import Columns, Invariants, Layer, Moments, Net
from .symbols import Array, Value, Variable
from .tables import Table

__all__ = ["SeChargeWriter", "build", "packed_scales"]

# Points that go through the net together: a multiple of the rows of a block (:class:`Net`).
_BATCH = 48


def build(
    moments: Moments,
    table: Table,
    kinds: Integers,
    start: Floats,
    layers: list[Layer],
    real: str,
) -> Kernel:
    """Write and compile the program of one model, without its superposition.

    Parameters
    ----------
    moments : Moments
        Settings.
    table : Table
        Radial functions up to the cutoff, of all elements.
    kinds : np.ndarray
        Place of each type among these elements.
    start : np.ndarray
        (functions of the first group,) what their sums start from.
    layers : list of Layer
        The net, from the invariants to one output.
    real : {"float32", "float64"}
        The precision of all that follows the distances.

    Returns
    -------
    Kernel
    """
    writer = SeChargeWriter(moments, table, layers, real)
    writer.write()
    # (intervals, terms, elements * functions) to one table a type
    intervals, terms, _ = table.coefficients.shape
    functions = table.coefficients.reshape(intervals, terms, max(kinds) + 1, -1)
    functions = functions.transpose(2, 0, 1, 3)[kinds]
    sums = np.zeros((1, functions.shape[-1]))
    sums[0, : len(start)] = start
    cells = np.stack([table.counts, table.first], axis=1).astype(np.float64)
    pack = writer.columns.pack
    return writer.compile([cells, pack(functions, real), pack(sums, real), writer.net.packed])


def packed_scales(moments: Moments, real: str) -> tuple[Callable[[Floats], Floats], int]:
    """How the kernel reads what atoms scale their radial functions by, and how long a row is.

    Returns
    -------
    pack : callable
        Of (..., n_scales), l by l, (..., width).
    width : int
    """
    columns = Columns(moments, Machine().vector_bytes // np.dtype(real).itemsize)
    n = moments.n_channel

    def pack(scales: Floats) -> Floats:
        parts = [scales[..., :n], *([np.ones((*scales.shape[:-1], 1))] if moments.linear else [])]
        every = np.concatenate([*parts, scales[..., n:]], axis=-1)
        packed = columns.pack(every[..., None, :], real)
        return packed.reshape(*scales.shape[:-1], -1)

    return pack, columns.first[-1] * columns.width


class SeChargeWriter(Writer):
    """Writes the instructions: one method a stage, ``write`` the whole in its order."""

    def __init__(self, moments: Moments, table: Table, layers: list[Layer], real: str) -> None:
        names = ["cells", "table", "first", "weights"]
        names += ["types", "scales"] if moments.scaled else []
        super().__init__("se_charge", names, moments.rcut, real)
        p, s = self.p, self.scratch
        self.moments = moments
        self.columns = columns = Columns(moments, p.width)
        self.invariants = Invariants(moments, p.width)
        self.net = Net(layers, self.invariants, p.machine, p.width, real)
        self.cells = table.cells
        self.intervals, self.terms, _ = table.coefficients.shape
        self.row = columns.first[-1] * self.terms * p.width  # of the table
        self.rows = s.array(p.int32, 0, 1)  # in the table, or -1 beyond the cutoff
        # of W candidates each: their t, then harmonics after the first, which is 1
        self.blocks = s.array(p.real, 0, moments.n_harmonics)
        # neighbours: rows, places in the blocks
        self.near_row = s.array(p.int64, 0, 1)
        self.near_at = s.array(p.int64, 0, 1)
        self.near_scales = s.array(p.int64, 0, 1) if moments.scaled else None
        self.b_stride = max(columns.vectors) * p.width
        self.b = s.array(p.real, moments.n_harmonics * self.b_stride)
        self.features = s.array(p.real, _BATCH * self.invariants.size)
        self.hidden = [s.array(p.real, _BATCH * self.net.stride) for _ in range(2)]
        self.linear = s.array(p.double, _BATCH)  # the pair-additive terms

    def write(self) -> None:
        """Write the whole program."""
        p = self.p
        n = p.integer("n")
        slot = p.variable(0, p.int64)
        with self.each_point() as (i, point, candidates):
            count = self._neighbours(point, candidates)
            self._moments(count)
            self._linear(slot.value)
            self._invariants(self.features.at(slot.value * self.invariants.size))
            slot.value = slot.value + 1
            with p.when((slot.value >= _BATCH) | (i + 1 >= n)):
                self._net(slot.value, i + 1 - slot.value)
                slot.value = p.constant(0, p.int64)

    def _neighbours(self, point: list[Value], candidates: Value) -> Value:
        """Fill blocks with the geometry of all candidates and list those within the cutoff."""
        p, m = self.p, self.moments
        width = p.width
        counts, first = (p.array("cells", p.double).at(k) for k in range(2))
        with p.loop(0, candidates, width) as j:
            vector, r = self.distances(point, j)
            # what is beyond the cutoff is dropped, but must not be read beyond the table
            place = self.cells.place(p, r)
            cell = place.to(p.int32)
            place = (place - cell.to(p.double)) * counts.gather(cell * 2)
            interval = place.to(p.int32)
            row = interval + first.gather(cell * 2).to(p.int32)
            label = self.label.vector(j, width)
            if m.scaled:  # it is the row of an atom
                label = p.array("types", p.int32).gather(label)
            row = (label * self.intervals + row) * self.row
            self.rows[j] = p.where(r < m.rcut, row, p.constant(-1, row.type))
            block = self.blocks.at(j * m.n_harmonics)
            block[0] = (place - interval.to(p.double) - 0.5).to(p.real)
            inverse = inverse_distance(p, r.to(p.real), m.eps)
            ux, uy, uz = (v.to(p.real) * inverse for v in vector)
            for k, y in enumerate(harmonics(p, ux, uy, uz, m.lmax)):
                if k > 0:
                    block[k * width] = y
        count = p.variable(0, p.int64)
        with p.loop(0, candidates) as j:
            at = count.value
            row = self.rows[j].to(p.int64)
            lane = j & (width - 1)
            self.near_row[at] = row
            self.near_at[at] = (j - lane) * m.n_harmonics + lane
            if self.near_scales is not None:
                length = self.columns.first[-1] * width
                self.near_scales[at] = self.label[j].to(p.int64) * length
            count.value = at + p.where(row >= 0, 1, p.constant(0, p.int64))
        return count.value

    def _moments(self, count: Value) -> None:
        """Sum B over the neighbours, for as many functions at a time as registers hold."""
        p = self.p
        table, first = p.array("table", p.real), p.array("first", p.real)
        width = p.width
        for work in self._rounds():
            sums: dict[tuple[int, int, int], Variable] = {}
            for g, v, harmonic in work:
                begin = first.vector(v * width, width) if harmonic == 0 else 0.0
                sums[g, v, harmonic] = p.variable(begin, p.vector_type)
            with p.loop(0, count) as k:
                row = table.at(self.near_row[k])
                block = self.blocks.at(self.near_at[k])
                t = p.spread(block[0], width)
                if self.near_scales is not None:
                    scales = p.array("scales", p.real).at(self.near_scales[k])
                for g, v in dict.fromkeys((g, v) for g, v, _ in work):
                    at = (self.columns.first[g] + v) * self.terms * width
                    value = p.polynomial(
                        t, [row.vector(at + c * width, width) for c in range(self.terms)]
                    )
                    if self.near_scales is not None:
                        value = value * scales.vector((self.columns.first[g] + v) * width, width)
                    for harmonic in (h for gg, vv, h in work if (gg, vv) == (g, v)):
                        total = sums[g, v, harmonic]
                        if harmonic == 0:
                            total.value = total.value + value
                        else:
                            y = block[harmonic * width]
                            total.value = p.multiply_add(value, y, total.value)
            for (_, v, harmonic), total in sums.items():
                self.b[harmonic * self.b_stride + v * width] = total.value

    def _rounds(self) -> list[list[tuple[int, int, int]]]:
        """Deal out all (group, vector, harmonic), largest sets first, to few loops."""
        room = 12 if self.p.machine.registers < 32 else 26
        pieces: list[list[tuple[int, int, int]]] = []
        for g, group in enumerate(self.moments.groups):
            for v in range(self.columns.vectors[g]):
                # the pair-additive function may have a vector to itself, with l = 0 alone
                mine = group if v * self.p.width < self.moments.n_channel else group[:1]
                pieces += [
                    [(g, v, h) for h in mine[k : k + room]] for k in range(0, len(mine), room)
                ]
        rounds: list[list[tuple[int, int, int]]] = []
        for piece in sorted(pieces, key=len, reverse=True):
            for work in rounds:
                if len(work) + len(piece) <= room:
                    work += piece
                    break
            else:
                rounds.append(list(piece))
        return rounds

    def _linear(self, slot: Value) -> None:
        """Keep the pair-additive term until the net has been evaluated."""
        p = self.p
        term = self.b[self.moments.n_channel].to(p.double) if self.moments.linear else 0.0
        self.linear[slot] = term

    def _invariants(self, out: Array) -> None:
        p, m, inv = self.p, self.moments, self.invariants
        width = p.width
        vectors = inv.stride_channel // width

        def moment(harmonic: int) -> Array:
            return self.b.at(harmonic * self.b_stride)

        if m.separate:
            for k in range(vectors):
                out[k * width] = moment(0).vector(k * width, width)
        for group, begin in zip(m.groups, inv.grams, strict=True):
            with p.loop(0, vectors) as v:
                mine = [moment(h).vector(v * width, width) for h in group]
                with p.loop(0, m.axis) as a:
                    total = mine[0] * moment(group[0])[a]
                    for h, b in zip(group[1:], mine[1:], strict=True):
                        total = p.multiply_add(b, moment(h)[a], total)
                    out[begin + a * inv.stride_channel + v * width] = total
        for ls, begin in zip(m.triples, inv.triples, strict=True):
            g = coupling(*ls)
            first, second, third = ([moment(h) for h in range(l * l, (l + 1) ** 2)] for l in ls)
            with p.loop(0, inv.stride_triple, width) as v:
                one = [b.vector(v, width) for b in first]
                two = [b.vector(v, width) for b in second]
                coupled = []
                for k in range(len(third)):
                    total = p.constant(0.0, p.vector_type)
                    for i, j in np.argwhere(np.abs(g[:, :, k]) > 1e-12):
                        total = p.multiply_add(one[i] * two[j], g[i, j, k], total)
                    coupled.append(total)
                with p.loop(0, m.axis) as a:
                    total = coupled[0] * third[0][a]
                    for c, last in zip(coupled[1:], third[1:], strict=True):
                        total = p.multiply_add(c, last[a], total)
                    out[begin + a * inv.stride_triple + v] = total

    def _net(self, count: Value, first: Value) -> None:
        """Send the features of so many points through the net and store the sums."""
        p = self.p
        net = self.net
        source, stride = self.features, self.invariants.size
        for k in range(len(net.layers)):
            target = self.hidden[k % 2]
            self._layer(k, source, stride, target, count)
            twice = k + 1 < len(net.layers) and net.layers[k + 1].skips == 2
            if twice:
                n_out = net.layers[k].matrix.shape[1]
                with p.loop(0, count) as q, p.loop(0, net.outputs[k], p.width) as v:
                    row = target.at(q * net.stride)
                    row[v + n_out] = row.vector(v, p.width)
            source, stride = target, net.stride
        values = p.array("values", p.double)
        with p.loop(0, count) as q:
            values[first + q] = self.linear[q] + source[q * stride].to(p.double)

    def _layer(self, k: int, source: Array, stride: int, target: Array, count: Value) -> None:
        """Matrix times vectors, so many points by two vectors of outputs at a time."""
        p, net = self.p, self.net
        layer, panel, width = net.layers[k], net.panels[k], p.width
        function = activation(layer.activation)
        weights = p.array("weights", p.real).at(net.offsets[k])
        n_in = sum(length for _, length in net.inputs[k])
        with p.loop(0, net.outputs[k] // panel) as o, p.loop(0, count, net.rows) as q:
            mine = weights.at(o * ((n_in + 1) * panel))
            bias = [mine.vector(v, width) for v in range(0, panel, width)]
            sums = [[p.variable(b) for b in bias] for _ in range(net.rows)]
            done = 1
            for begin, length in net.inputs[k]:
                with p.loop(0, length) as i:
                    at = (i + done) * panel
                    row = [mine.vector(at + v, width) for v in range(0, panel, width)]
                    for r, totals in enumerate(sums):
                        x = source[q * stride + (i + (begin + r * stride))]
                        for total, w in zip(totals, row, strict=True):
                            total.value = p.multiply_add(w, x, total.value)
                done += length
            for r, totals in enumerate(sums):
                for v, total in enumerate(totals):
                    y = function(p, total.value)
                    at = o * panel + v * width
                    if layer.skips:
                        y = y + source.at(q * stride + r * stride).vector(at, width)
                    target[(q + r) * net.stride + at] = y
