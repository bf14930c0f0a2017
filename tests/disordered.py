# SPDX-License-Identifier: LGPL-3.0-or-later
"""Structures whose sites are shared."""

from pathlib import Path


def shared(name, shares):
    """A site that two elements share, as in a CIF."""
    axes = "".join(f"_cell_length_{x} 4\n" for x in "abc")
    axes += "".join(f"_cell_angle_{x} 90\n" for x in ("alpha", "beta", "gamma"))
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
    loop = "loop_\n" + "".join(f"_atom_site_{column}\n" for column in columns)
    sites = "".join(f"{e} {e} 0 0 0 {share}\n" for e, share in shares.items())
    head = "data_x\n_symmetry_space_group_name_H-M 'P 1'\n"
    Path(name).write_text(head + axes + loop + sites + "O O 0.5 0.5 0.5 1.0\n")
