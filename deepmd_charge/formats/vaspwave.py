# SPDX-License-Identifier: LGPL-3.0-or-later
"""VASP's vaspwave.h5, which holds the density since VASP 6 (LCHARGH5 = .TRUE.).

``charge/charge`` has the shape (blocks, nz, ny, nx) and the blocks and units of
a CHGCAR: total density times volume, then the magnetisation or its three
components. The structure lies in the same file. There are no augmentation
occupancies. VASP does not document this layout; it is that of its own py4vasp.
"""

import gzip
import lzma
import os
import shutil
import tempfile

import numpy as np

from ..density import Density
from ..errors import ChargeError
from ..quantities import split_kind
from ..species import name_species
from ._text import MOST_EXPANSION
from .declared import Declared

_STRUCTURES = "structure/positions", "results/positions", "input/poscar"


def read(path, kind="vasp/h5", declared=Declared()):
    """Read the charge density of a vaspwave.h5.

    Parameters
    ----------
    path : str or os.PathLike
        File; a compressed one is decompressed to a temporary one.
    kind : str
        Becomes the density's kind.
    declared : Declared
        What the user says of the file.

    Returns
    -------
    Density
        In e/A^3. ``extra`` holds "spin", as for a CHGCAR.

    Raises
    ------
    ChargeError
        If the file cannot be read or lacks density or structure.
    """
    import h5py

    path = os.fspath(path)
    opener = {".gz": gzip.open, ".xz": lzma.open}.get(os.path.splitext(path)[1].lower())
    try:
        source = open(path, "rb") if opener is None else _unpacked(path, opener)
        with source, h5py.File(source, "r") as file:
            return _read(path, file, kind, declared)
    except ChargeError:
        raise
    except Exception as error:  # HDF5 and h5py have any of them for a damaged file
        reason = getattr(error, "strerror", None) or next(iter(error.args), type(error).__name__)
        raise ChargeError(f"{path}: cannot be read: {' '.join(str(reason).split())}") from None


def _unpacked(path, opener):
    """A temporary file with what a compressed one holds, open."""
    with opener(path) as compressed:
        file = tempfile.TemporaryFile()
        shutil.copyfileobj(compressed, file)
        return file


def _read(path, file, kind, declared):
    import h5py

    if not isinstance(file.get("charge/charge"), h5py.Dataset):
        raise ChargeError(f"{path}: there is no charge/charge in this file: set LCHARGH5 = .TRUE.")
    charge = _dataset(file, "charge/charge")
    shape = charge.shape
    if len(shape) != 4 or shape[0] not in (1, 2, 4) or not charge.size or charge.dtype.kind != "f":
        raise ChargeError(f"{path}: charge/charge is no grid of 1, 2 or 4 densities: {shape}")
    atoms = _read_atoms(path, file, declared.species)
    quantity = declared.quantity or split_kind(kind)[1]
    divisor = declared.divisor(quantity, "e", atoms.get_volume())
    blocks = []
    for i in range(shape[0]):
        block = np.empty(shape[1:])
        charge.read_direct(block, np.s_[i])
        block /= divisor
        if not np.isfinite(block).all():
            raise ChargeError(f"{path}: some values are not finite: compute the file again")
        blocks.append(block.T)
    return Density(atoms, blocks[0], kind=kind, extra={"spin": blocks[1:]})


def _dataset(group, name):
    """A dataset, no larger than what the file has of it can be."""
    data = group[name]
    stored = data.id.get_storage_size()
    if data.nbytes > MOST_EXPANSION[".gz"] * stored:
        raise ValueError(f"{name} holds {stored} bytes, too few for {data.shape}")
    return data


def _read_atoms(path, file, species):
    from ase import Atoms
    from ase.data import atomic_numbers

    group = next((file[name] for name in _STRUCTURES if f"{name}/lattice_vectors" in file), None)
    if group is None:
        raise ChargeError(f"{path}: there is no structure in this file")
    try:
        scale = float(np.ravel(_dataset(group, "scale")[()])[0]) if "scale" in group else 1.0
        cell = np.array(_dataset(group, "lattice_vectors"), dtype=float).reshape(3, 3)
        types = _dataset(group, "ion_types")[()]
        labels = [label.decode().split("_")[0].strip() for label in types]
        counts = np.array(_dataset(group, "number_ion_types"), dtype=int)
        positions = np.array(_dataset(group, "position_ions"), dtype=float).reshape(-1, 3)
        if scale < 0:  # the volume of the cell
            scale = np.cbrt(-scale / abs(np.linalg.det(cell)))
        if (counts < 1).any() or counts.sum() != len(positions) or len(counts) != len(labels):
            raise ValueError("counts of atoms that do not match")
        if any(atomic_numbers.get(label, 0) < 1 for label in labels):
            raise ValueError("an unknown element")
        cell *= scale
        if not (np.isfinite(cell).all() and abs(np.linalg.det(cell)) > 1e-12):
            raise ValueError("a cell without volume")
        if not np.isfinite(positions).all():
            raise ValueError("positions that are not finite")
        symbols = np.repeat(labels, counts)
    except (KeyError, ValueError, TypeError, AttributeError, np.linalg.LinAlgError) as error:
        raise ChargeError(f"{path}: the structure cannot be read: {error}") from None
    atoms = Atoms(symbols, scaled_positions=positions, cell=cell, pbc=True)
    name_species(path, atoms, species, counts)
    return atoms
