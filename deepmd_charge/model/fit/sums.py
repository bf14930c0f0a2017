# SPDX-License-Identifier: LGPL-3.0-or-later
"""Sums over points, a block at a time: means, spreads and second moments."""

from __future__ import annotations

import numpy as np

from ...typing import Floats

__all__ = ["EmbeddingSums", "MomentSums", "Spread", "floored"]


class Spread:
    """Mean and standard deviation of each column of rows that come in blocks.

    Attributes
    ----------
    count : int
    mean : np.ndarray
        (columns,)
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = np.zeros(())
        self._squares = np.zeros(())

    def add(self, rows: Floats) -> None:
        """Add rows (n, columns)."""
        if not len(rows):
            return
        rows = np.asarray(rows, dtype=np.float64)
        mean, n = rows.mean(axis=0), len(rows)
        # of two parts (Chan, Golub and LeVeque): no digits are lost to a large mean
        apart = mean - self.mean
        total = self.count + n
        self._squares = self._squares + ((rows - mean) ** 2).sum(axis=0)
        self._squares = self._squares + apart**2 * (self.count * n / total)
        self.mean = self.mean + apart * (n / total)
        self.count = total

    @property
    def std(self) -> Floats:
        """np.ndarray: The standard deviations (columns,)."""
        return np.sqrt(self._squares / max(self.count, 1))


def floored(std: Floats) -> Floats:
    """Standard deviations by which to divide: none below a thousandth of the largest."""
    return np.maximum(std, 1e-3 * std.max() + 1e-12)


class MomentSums:
    r"""What whitening needs of the moments A of points.

    Parameters
    ----------
    lmax : int
    n_columns : int
    """

    def __init__(self, lmax: int, n_columns: int) -> None:
        self._lmax = lmax
        self._count = 0
        self._sum = np.zeros(n_columns)
        self._gram = np.zeros((lmax + 1, n_columns, n_columns))

    def add(self, moments: Floats, n_centers: int) -> None:
        """Add the moments (n_centers, (lmax + 1)^2, columns) of some points."""
        # of the elements that are there alone: points of one block see few of many
        seen = np.flatnonzero(moments.any(axis=(0, 1)))
        moments = moments[:, :, seen].astype(np.float64)
        self._count += n_centers
        self._sum[seen] += moments[:, 0].sum(axis=0)
        for l in range(self._lmax + 1):
            a = moments[:, l * l : (l + 1) ** 2].reshape(len(moments) * (2 * l + 1), len(seen))
            self._gram[l][np.ix_(seen, seen)] += a.T @ a

    @property
    def mean(self) -> Floats:
        """np.ndarray: The means (columns,) of the moments of l = 0."""
        return self._sum / max(self._count, 1)

    def covariance(self, l: int) -> Floats:
        """Mean products (columns, columns) of the moments of l, over m; of l = 0 less the means."""
        gram = self._gram[l] / max(self._count * (2 * l + 1), 1)
        return gram - np.outer(self.mean, self.mean) if l == 0 else gram


class EmbeddingSums:
    """What the embedding needs of s(r) of the atoms around points."""

    def __init__(self) -> None:
        self._spread = Spread()
        self._count = 0

    def add(self, s: Floats, n_centers: int) -> None:
        """Add s of all pairs of ``n_centers`` points and atoms, zero where there is none."""
        self._spread.add(s[s > 0.0])
        self._count += n_centers

    @property
    def mean(self) -> float:
        """float: Of s."""
        return float(self._spread.mean)

    @property
    def std(self) -> float:
        """float: Of s."""
        return float(self._spread.std)

    @property
    def neighbors(self) -> float:
        """float: Their mean number, at least one."""
        return max(1.0, self._spread.count / max(self._count, 1))
