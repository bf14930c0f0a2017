# SPDX-License-Identifier: LGPL-3.0-or-later
"""Real spherical harmonics as polynomials of a direction vector."""

import math

__all__ = ["LMAX", "harmonics"]

LMAX = 4


def harmonics(xp, x, y, z, lmax):
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
        The largest l, 0 to 4.

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
    return out
