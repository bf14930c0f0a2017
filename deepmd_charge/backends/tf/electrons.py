# SPDX-License-Identifier: LGPL-3.0-or-later
"""The electrons that atoms hold where those of every structure are exact."""

from __future__ import annotations

import numpy as np

from ...atoms.species import element_of
from ...errors import ChargeError
from ...model.info import ModelInfo
from ...model.spec import ModelSpec
from ...saed.table import RadialTable
from ...typing import Floats

__all__ = ["exact_electrons"]

# Electrons in doubt with which the whole number of an atom's valence is not known.
_DOUBT = 0.5


def exact_electrons(
    spec: ModelSpec, memory: ModelInfo, table: RadialTable | None, superposed: bool
) -> Floats:
    """What an atom of each element holds of what is learnt.

    Parameters
    ----------
    spec : ModelSpec
    memory : ModelInfo
        What the training data say.
    table : RadialTable or None
        The superposed atomic densities that the model carries.
    superposed : bool
        Whether the density is learnt without superposed ones, of a table or of files.

    Returns
    -------
    np.ndarray
        (elements,) the valence electrons, less those of the table.

    Raises
    ------
    ChargeError
        If the data are no total density, do not say the valence of an element or contradict it,
        or superposed densities come from files.
    """
    where = f'{spec.descriptor.where}/electrons "exact"'
    if (memory.quantity or "total") != "total":
        raise ChargeError(
            f"{where} is of the total density, and the data are the {memory.quantity}; set it "
            'to "free"'
        )
    if superposed and table is None:
        raise ChargeError(
            f"{where} cannot count what a density file superposes; take another source of --saed, "
            'or set it to "free"'
        )
    held = []
    for name in (spec.type_map[t] for t in spec.elements):
        valence, doubt = memory.valences.get(name, (0.0, 0.0))
        if name in memory.elements and not valence:
            raise ChargeError(
                f"{where}: the data do not say the valence electrons of {name}; give them in "
                "model/info/valence"
            )
        if doubt >= _DOUBT:
            raise ChargeError(
                f"{where}: the electrons of the data leave {doubt:.2g} of the valence {valence:g} "
                f'of {name} in doubt; correct model/info/valence, or set it to "free" (as for '
                "charged cells)"
            )
        element = element_of(name)
        if table is not None and element in table.functions:
            valence -= table.electrons(element)
        held.append(valence)
    return np.array(held)
