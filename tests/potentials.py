# SPDX-License-Identifier: LGPL-3.0-or-later
"""UPF and POTCAR files of made-up atoms."""

from functools import cache

import numpy as np

from deepmd_charge.atoms.free_atoms import BOHR


def gaussian(r, width, n=4.0):
    return n / (2 * np.pi * width**2) ** 1.5 * np.exp(-0.5 * (r / width) ** 2)


def table_text(values):
    rows = [" ".join(f"{x:.14e}" for x in values[k : k + 4]) for k in range(0, len(values), 4)]
    return "\n".join(rows)


def write_upf(path, element, width, version=2):
    path.write_text(upf_text(element, width, version))


@cache
def upf_text(element, width, version):
    """A potential of a Gaussian atom."""
    return upf_of(element, lambda r: gaussian(r, width / BOHR), version)


def upf_of(element, density, version=2, spacing=0.0125):
    """A potential with nothing but what is read, on a logarithmic mesh in bohr."""
    r = 1e-4 * np.exp(spacing * np.arange(round(12.5 / spacing) + 1))
    rab = spacing * r
    rho = 4 * np.pi * r**2 * density(r)
    if version == 1:
        head = (
            f"<PP_HEADER>\n   0  Version Number\n   {element}  Element\n"
            "   4.000  Z valence\n</PP_HEADER>"
        )
    else:
        head = f'<UPF version="2.0.1">\n<PP_HEADER\n element="{element:>2}"\n z_valence="4.0D0"/>'
    size = ' type="real" columns="4"' if version == 2 else ""
    blocks = [
        f"<{name}{size}>\n{table_text(values)}\n</{name}>"
        for name, values in (("PP_R", r), ("PP_RAB", rab), ("PP_RHOATOM", rho))
    ]
    mesh = "<PP_MESH>\n" + "\n".join(blocks[:2]) + "\n</PP_MESH>\n"
    return f"<PP_INFO>\nElement: none\n</PP_INFO>\n{head}\n{mesh}{blocks[2]}\n"


@cache
def potcar_set(element, width, zval=4.0, q_max=40.0, first=None):
    q = np.arange(1000) * q_max / 1000
    rho = 4.0 * np.exp(-0.5 * (q * width) ** 2)
    rho[0] = rho[0] if first is None else first
    body = [table_text(np.full(1000, 7.0)), table_text(rho)]
    return (
        f"  PAW_PBE {element} made-up\n   {zval}\n parameters from PSCTR are:\n"
        f"   VRHFIN ={element}: s2p2\n"
        f"   POMASS =   28.085; ZVAL   =    {zval:.3f}    mass and valenz\n"
        f" END of PSCTR-controll parameters\n local part\n   {q_max:.10f}\n{body[0]}\n"
        " gradient corrections used for XC\n    5\n core charge-density (partial)\n"
        f"{body[0]}\n atomic pseudo charge-density\n{body[1]}\n"
        "   12.28   T\n Non local Part\n  0 2 1.9\n"
        " End of Dataset\n"
    )
