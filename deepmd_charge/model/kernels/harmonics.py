# SPDX-License-Identifier: LGPL-3.0-or-later
"""Real spherical harmonics as polynomials of a direction vector."""

from __future__ import annotations

import math

from .arrays import Array, Namespace

__all__ = ["LMAX", "harmonics"]

LMAX = 6


def harmonics(xp: Namespace, x: Array, y: Array, z: Array, lmax: int) -> list[Array]:
    r"""Real solid harmonics :math:`\sqrt{4\pi/(2l+1)}\,|u|^l Y_{lm}(u)`, Racah-normalised.

    The functions are polynomials of the Cartesian components, so they stay
    smooth where the vector u = (x, y, z) goes to zero: the model passes
    u = r / sqrt(r^2 + eps^2), and a term with l > 0 vanishes on a nucleus as
    it must. The sum over m of the squares is :math:`|u|^{2l}`.

    Parameters
    ----------
    xp : module
        Array namespace.
    x, y, z : array
        The components, any common shape.
    lmax : int
        The largest l, 0 to 6.

    Returns
    -------
    list of array
        (lmax + 1)^2 functions ordered by l, then m = -l ... l.
    """
    if not 0 <= lmax <= LMAX:
        raise ValueError(f"lmax must lie between 0 and {LMAX}, not {lmax}")
    s = math.sqrt
    out = [xp.ones_like(x)]
    if lmax >= 1:
        out += [y, z, x]
    if lmax >= 2:
        xx, yy, zz = x * x, y * y, z * z
        rr = xx + yy + zz
        c2, s2 = xx - yy, 2.0 * x * y  # r^2 sin^2(theta) cos, sin(2 phi)
        out += [
            s(3 / 4) * s2,
            s(3) * y * z,
            1.5 * zz - 0.5 * rr,
            s(3) * x * z,
            s(3 / 4) * c2,
        ]
    if lmax >= 3:
        c3, s3 = x * c2 - y * s2, x * s2 + y * c2
        p31 = 5.0 * zz - rr
        out += [
            s(5 / 8) * s3,
            s(15 / 4) * z * s2,
            s(3 / 8) * y * p31,
            z * (2.5 * zz - 1.5 * rr),
            s(3 / 8) * x * p31,
            s(15 / 4) * z * c2,
            s(5 / 8) * c3,
        ]
    if lmax >= 4:
        c4, s4 = x * c3 - y * s3, x * s3 + y * c3
        p41 = z * (7.0 * zz - 3.0 * rr)
        p42 = 7.0 * zz - rr
        out += [
            s(35 / 64) * s4,
            s(35 / 8) * z * s3,
            s(5 / 16) * s2 * p42,
            s(5 / 8) * y * p41,
            4.375 * zz * zz - 3.75 * zz * rr + 0.375 * rr * rr,
            s(5 / 8) * x * p41,
            s(5 / 16) * c2 * p42,
            s(35 / 8) * z * c3,
            s(35 / 64) * c4,
        ]
    if lmax >= 5:
        c5, s5 = x * c4 - y * s4, x * s4 + y * c4
        zzzz, zzrr, rrrr = zz * zz, zz * rr, rr * rr
        p51 = 21.0 * zzzz - 14.0 * zzrr + rrrr
        p52 = z * (3.0 * zz - rr)
        p53 = 9.0 * zz - rr
        out += [
            s(63 / 128) * s5,
            s(315 / 64) * z * s4,
            s(35 / 128) * s3 * p53,
            s(105 / 16) * s2 * p52,
            s(15 / 64) * y * p51,
            z * (7.875 * zzzz - 8.75 * zzrr + 1.875 * rrrr),
            s(15 / 64) * x * p51,
            s(105 / 16) * c2 * p52,
            s(35 / 128) * c3 * p53,
            s(315 / 64) * z * c4,
            s(63 / 128) * c5,
        ]
    if lmax >= 6:
        c6, s6 = x * c5 - y * s5, x * s5 + y * c5
        p61 = z * (33.0 * zzzz - 30.0 * zzrr + 5.0 * rrrr)
        p62 = 33.0 * zzzz - 18.0 * zzrr + rrrr
        p63 = z * (11.0 * zz - 3.0 * rr)
        p64 = 11.0 * zz - rr
        out += [
            s(231 / 512) * s6,
            s(693 / 128) * z * s5,
            s(63 / 256) * s4 * p64,
            s(105 / 128) * s3 * p63,
            s(105 / 512) * s2 * p62,
            s(21 / 64) * y * p61,
            zz * (14.4375 * zzzz - 19.6875 * zzrr + 6.5625 * rrrr) - 0.3125 * rr * rrrr,
            s(21 / 64) * x * p61,
            s(105 / 512) * c2 * p62,
            s(105 / 128) * c3 * p63,
            s(63 / 256) * c4 * p64,
            s(693 / 128) * z * c5,
            s(231 / 512) * c6,
        ]
    return out
