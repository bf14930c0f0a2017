# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a model must remember of the DP systems that it was trained on."""

from pathlib import Path

import numpy as np

from .errors import ChargeError
from .sampling import GRID_TYPE

# Electrons per atom by which a file may miss the common valences: superpositions
# and coarse grids miss by 1e-3, a charged cell by a little more, and another
# potential by 1 or more for each atom of its element.
VALENCE_TOLERANCE = 1e-2


def dataset_info(system_dirs):
    """Gather elements, valences, grid spacing and file kind of a training set.

    The valences z solve ``sum_e n_e z_e = electrons`` for all frames in the
    least-squares sense; an element whose valence these equations leave open is
    left out.

    Parameters
    ----------
    system_dirs : list of str
        DP systems (``deepmd/npy``, mixed or not). The facts come from
        ``n_electrons.npy``, ``grid_shape.npy`` and ``density_kind.npy`` of
        each set, as ``deepmd-charge convert`` and dpdata write them; a system
        without them says nothing about valences, spacing or kind.

    Returns
    -------
    dict
        "elements": list of str, in order of appearance, without "X";
        "valence": dict of element to valence electrons, as far as known;
        "grid_spacing": mean over frames and axes of |cell vector| / n in A, or
        None; "kind": str such as "vasp/chgcar", or None.

    Raises
    ------
    ChargeError
        If a system cannot be read, or the systems were made with different
        valences or from different kinds of file.
    """
    elements, facts, spacings, kinds = [], [], [], {}
    for folder in map(Path, system_dirs):
        names = _read(folder / "type_map.raw", _load_words)
        elements += [name for name in names if name != GRID_TYPE and name not in elements]
        for part in sorted(folder.glob("set.*")):
            if (electrons := _optional(part / "n_electrons.npy")) is not None:
                rows = np.column_stack([_counts(folder, part, names), electrons.ravel()])
                for *counts, n in np.unique(rows, axis=0):  # frames of one file agree
                    facts.append((dict(zip(names, counts)), n, folder))
            if (shape := _optional(part / "grid_shape.npy")) is not None:
                cells = _read(part / "box.npy", np.load).reshape(-1, 3, 3)
                spacings.extend((np.linalg.norm(cells, axis=2) / shape.reshape(-1, 3)).ravel())
            if (kind := _optional(part / "density_kind.npy")) is not None:
                kinds.update((str(name), folder) for name in np.unique(kind))
    if len(kinds) > 1:
        found = ", ".join(f"{kind or 'unknown'} in {folder}" for kind, folder in kinds.items())
        raise ChargeError(f"densities of different kinds in one training set: {found}; keep one")
    return {
        "elements": elements,
        "valence": _valences(elements, facts),
        "grid_spacing": float(np.mean(spacings)) if spacings else None,
        "kind": next(iter(kinds), None) or None,
    }


def _valences(elements, facts):
    """Solve for the valences of the elements that the electron counts determine.

    ``facts`` holds (atoms of each element, electrons, folder). An element is
    determined where its unit vector lies in the row space of the counts.
    """
    if not facts:
        return {}
    counts = np.array([[row.get(element, 0) for element in elements] for row, _, _ in facts])
    electrons = np.array([n for _, n, _ in facts])
    inverse = np.linalg.pinv(counts)
    valence = inverse @ electrons
    excess = (electrons - counts @ valence) / counts.sum(axis=1)
    if np.abs(excess).max() > VALENCE_TOLERANCE:
        low, high = (
            f"{facts[i][2]} ({facts[i][1]:.6g} electrons)"
            for i in (excess.argmin(), excess.argmax())
        )
        raise ChargeError(
            f"training systems with different valences: {low} and {high} cannot come from the"
            " same potentials; train on files that were made with one set of them"
        )
    known = np.isclose(np.diag(inverse @ counts), 1.0, rtol=0, atol=1e-8)
    return {e: float(z) for e, z, is_known in zip(elements, valence, known) if is_known}


def _counts(folder, part, names):
    """Atoms of each type in each frame, shape (n_frames, n_types)."""
    types = _optional(part / "real_atom_types.npy")
    if types is None:
        types = _read(folder / "type.raw", lambda path: np.loadtxt(path, dtype=int, ndmin=1))
        types = np.tile(types, (len(_read(part / "box.npy", np.load)), 1))
    return np.stack([(types == i).sum(axis=1) for i in range(len(names))], axis=1)


def _load_words(path):
    return path.read_text().split()


def _optional(path):
    return _read(path, np.load) if path.is_file() else None


def _read(path, load):
    try:
        return load(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ChargeError(f"{path}: cannot be read as part of a DP system: {reason}") from None
