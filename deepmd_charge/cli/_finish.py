# SPDX-License-Identifier: LGPL-3.0-or-later
"""What ``predict`` does to a density once all its values are there."""

from .. import electrons, formats
from ..augmentation import MISSING, occupancies
from ..errors import ChargeError
from ..model_info import ModelInfo
from ..quantities import unit_of

# Electrons in doubt that are told.
_SHOWN = 0.01


class Finish:
    """Scales to an electron count, and adds what VASP wants.

    Parameters
    ----------
    models : list of ChargeModel
        That predict it.
    empty : Density
        The structure and the grid, without values.
    output : str
        File to write.
    number : str or None
        Electrons to scale to, or "auto".
    augmentation : list of str
        Files with augmentation occupancies.
    species : list of str, optional
        Names of the types in those of them that tell no elements.

    Attributes
    ----------
    occupancies : str
        Where the augmentation occupancies of a CHGCAR come from.

    Raises
    ------
    ChargeError
        If any of this does not go together.
    """

    def __init__(self, models, empty, output, number, augmentation, species=None):
        formats.check_holds(output, empty)
        atoms = empty.atoms
        is_chgcar = formats.format_of(output) == "vasp/chgcar"
        if augmentation and not is_chgcar:
            raise ChargeError(f"{output}: only a CHGCAR holds augmentation occupancies")
        first = models[0]
        self._unit = unit_of(ModelInfo.from_json(first.info).quantity)
        self._scaled = bool(number)
        if number:
            self._expected = electrons.parse_electrons(number, first.path, first.info, atoms)
        else:
            self._expected = electrons.expected_electrons(first.info, atoms)
        doubt = electrons.electrons_in_doubt(first.info, atoms)
        self._doubt = f" +- {doubt:.2g}" if doubt >= _SHOWN and number in (None, "auto") else ""
        self.occupancies, self._extra = "", {}
        if is_chgcar:
            text, self.occupancies = (
                occupancies(atoms, augmentation, species) if augmentation else (None, MISSING)
            )
            name = f"{atoms.get_chemical_formula()} predicted by deepmd-charge"
            self._extra["comment"] = f"{name}: {self.occupancies}"
            if text:
                self._extra["augmentation"] = [text]

    def __call__(self, density):
        """Finish a density in place, and return it."""
        self._found = density.n_electrons
        if self._scaled:
            electrons.rescale(density, self._expected)
        density.extra.update(self._extra)
        return density

    def told(self):
        """Say how many electrons were predicted, and by how many that misses."""
        text = f"{self._found:.4f} {self._unit}"
        if self._expected is None:
            return text
        text += f" ({self._found - self._expected:+.4f} of {self._expected:.10g}{self._doubt})"
        if not self._scaled:
            return text
        return f"{text}, scaled to {self._expected:.10g}, by {self._expected / self._found:.6f}"
