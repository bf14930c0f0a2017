# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a model must remember of the DP systems that it was trained on."""

import numpy as np

from . import valences
from .errors import ChargeError
from .sampling import GRID_TYPE


def dataset_info(system_dirs, type_map=None, given=()):
    """Gather elements, valences, grid spacing and file kind of a training set.

    The valences are those that :func:`deepmd_charge.valences.fit` finds for the
    electrons of all frames; an element whose valence these leave open is left out.

    Parameters
    ----------
    system_dirs : list of str
        DP systems (``deepmd/npy``, mixed or not, or ``FILE.hdf5#/GROUP``). The
        facts come from ``n_electrons.npy``, ``grid_shape.npy`` and
        ``density_kind.npy`` of each set, as ``deepmd-charge convert`` and
        dpdata write them; a system without them says nothing about valences,
        spacing or kind.
    type_map : list of str, optional
        Names of the types of systems that have no ``type_map.raw``.
    given : dict of str to float, optional
        Valences that are known from elsewhere, such as those of the potentials.

    Returns
    -------
    dict
        "elements": list of str, those of the atoms that occur, in order of
        appearance, without "X";
        "valence": dict of element to valence electrons, as far as known;
        "valence_error", where one is known: by how much each may be wrong;
        "grid_spacing": mean over frames and axes of |cell vector| / n in A, or
        None; "kind": str such as "vasp/chgcar", or None; "saed": str, where the
        superposed atomic densities come from that stand beside the densities,
        such as "upf", or None.

    Raises
    ------
    ChargeError
        If a system cannot be read, or the systems were made with different
        valences, from different kinds of file, or with different sources of
        superposed atomic densities.
    """
    elements, facts, spacings, kinds, sources = [], [], [], {}, {}
    for folder in map(_open, system_dirs):
        names = _names(folder, type_map)
        for part in sorted(folder.glob("set.*")):
            counts = _counts(folder, part, names)
            seen = (name for name, occurs in zip(names, counts.any(axis=0)) if occurs)
            elements += [name for name in seen if name != GRID_TYPE and name not in elements]
            if (electrons := _optional(part / "n_electrons.npy")) is not None:
                rows = np.column_stack([counts, electrons.ravel()])
                for *row, n in np.unique(rows, axis=0):  # frames of one file agree
                    facts.append((dict(zip(names, row)), n, folder))
            shape, box = (_optional(part / f"{name}.npy") for name in ("grid_shape", "box"))
            if shape is not None and box is not None:
                cells = box.reshape(-1, 3, 3)
                spacings.extend((np.linalg.norm(cells, axis=2) / shape.reshape(-1, 3)).ravel())
            if (kind := _optional(part / "density_kind.npy")) is not None:
                kinds.update((str(name), folder) for name in np.unique(kind.astype(str)))
            source = _optional(part / "saed_source.npy")
            names_of = [""] if source is None else np.unique(source.astype(str))
            sources.update((str(name), folder) for name in names_of)
    if len(sources) > 1:
        found = ", ".join(f"{name or 'none'} in {folder}" for name, folder in sources.items())
        raise ChargeError(
            f"superposed atomic densities of different sources in one training set: {found};"
            " convert all files with one --saed"
        )
    if len(kinds) > 1:
        found = ", ".join(f"{kind or 'unknown'} in {folder}" for kind, folder in kinds.items())
        raise ChargeError(f"densities of different kinds in one training set: {found}; keep one")
    valence, error = valences.fit(elements, facts, dict(given))
    return {
        "elements": elements,
        "valence": valence,
        **({"valence_error": error} if error else {}),
        "grid_spacing": float(np.mean(spacings)) if spacings else None,
        "kind": next(iter(kinds), None) or None,
        "saed": next(iter(sources), None) or None,
    }


def check_systems(system_dirs, type_map=None):
    """Refuse DP systems that would turn the training into NaN.

    Parameters
    ----------
    system_dirs, type_map
        As for :func:`dataset_info`.

    Raises
    ------
    ChargeError
        If a frame has no grid point, or a position, cell or density is not a
        finite number; names the file and the frame.
    """
    for folder in map(_open, system_dirs):
        names = _names(folder, type_map)
        for part in sorted(folder.glob("set.*")):
            points = _counts(folder, part, names)[:, [name == GRID_TYPE for name in names]]
            if names and not points.any(axis=1).all():
                raise ChargeError(
                    f"{part}: a frame has no grid point, that is, no atom of type {GRID_TYPE}; make the"
                    " system with deepmd-charge convert or dpdata's vasp/chgcar"
                )
            for name in ("coord", "box", "density"):
                values = _optional(part / f"{name}.npy")
                if values is None or np.isfinite(values).all():
                    continue
                frames = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
                raise ChargeError(
                    f"{part / name}.npy: frame {np.argmin(frames)} holds a value that is not a "
                    "finite number; make the system again"
                )


def frames(system_dirs, type_map, labels, most):
    """Read some frames of every set of a training set.

    Parameters
    ----------
    system_dirs : list of str
        As for :func:`dataset_info`.
    type_map : list of str
        Types of the model; those of the systems are translated to it.
    labels : tuple of str
        Atomic labels to read.
    most : int
        Frames of each set, evenly spread.

    Yields
    ------
    dict
        "coord" (natoms, 3), "box" (3, 3), "type" (natoms,), "periodic" (bool),
        "set" (str), and the labels (natoms,).

    Raises
    ------
    ChargeError
        If a file is missing or cannot be read.
    """
    for folder in map(_open, system_dirs):
        names = _names(folder, type_map) or type_map
        number = np.array([type_map.index(name) for name in names])
        for part in sorted(folder.glob("set.*")):
            types = _optional(part / "real_atom_types.npy")
            if types is None:
                types = _read(folder / "type.raw", dtype=int, ndmin=1)[None]
            arrays = {name: _read(part / f"{name}.npy") for name in ("coord", *labels)}
            n = len(arrays["coord"])
            box = _optional(part / "box.npy")
            box = np.zeros((n, 9)) if box is None else box
            for k in np.unique(np.linspace(0, n - 1, most).astype(int)):
                yield {
                    **{name: arrays[name][k] for name in labels},
                    "coord": arrays["coord"][k].reshape(-1, 3),
                    "box": box[k].reshape(3, 3),
                    "type": number[types[k % len(types)]],
                    "periodic": not (folder / "nopbc").is_file(),
                    "set": part,
                }


def _open(folder):
    """The system as DeePMD-kit sees it: a folder, or a group of an HDF5 file."""
    from deepmd.utils.path import DPPath

    try:
        return DPPath(str(folder))
    except OSError as error:
        raise ChargeError(f"{folder}: cannot be read as a DP system: {error}") from None


def _names(folder, type_map):
    """Names of the types of a system; empty where nothing tells them."""
    path = folder / "type_map.raw"
    if path.is_file():
        return _read(path, dtype=str, ndmin=1).tolist()
    return list(type_map or [])


def _counts(folder, part, names):
    """Atoms of each type in each frame, shape (n_frames, n_types)."""
    types = _optional(part / "real_atom_types.npy")
    n_frames = 1
    if types is None:  # all frames have the same
        types = _read(folder / "type.raw", dtype=int, ndmin=1)[None]
        n_frames = len(_read(part / "coord.npy"))
    counts = (types[:, :, None] == np.arange(len(names))).sum(axis=1)
    return np.tile(counts, (n_frames, 1))


def _optional(path):
    return _read(path) if path.is_file() else None


def _read(path, **options):
    """Load a text file where there are options, or else an array."""
    try:
        return path.load_txt(**options) if options else path.load_numpy()
    except (OSError, ValueError, KeyError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ChargeError(f"{path}: cannot be read as part of a DP system: {reason}") from None
