# SPDX-License-Identifier: LGPL-3.0-or-later
"""``--species`` by the groups of a file, whoever reads it."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from hypothesis import given, settings
from hypothesis import strategies as st

from deepmd_charge import ChargeError, Density, write_density
from deepmd_charge.atoms.species import ARRAY, species_of
from deepmd_charge.cli.main import main
from deepmd_charge.io.structures import iterate_structures

CELL = np.diag([4.0, 5.0, 6.0])


def poscar(elements, counts, vasp_4=False):
    """A POSCAR with a position for each atom that tells its number."""
    lines = [" ".join(elements), "1.0", *(" ".join(map(str, row)) for row in CELL)]
    lines += [] if vasp_4 else [" ".join(elements)]
    lines += [" ".join(map(str, counts)) + " ! atoms", "Selective dynamics", "Direct"]
    lines += [f"{i / sum(counts):.6f} 0.0 0.0 T T F" for i in range(sum(counts))]
    return "\n".join(lines) + "\n"


def xdatcar(elements, counts):
    header, _, body = (
        poscar(elements, counts).replace(" T T F", "").partition("Selective dynamics\n")
    )
    header = header.replace(" ! atoms", "")
    body = body.removeprefix("Direct\n")
    return header + "".join(f"Direct configuration= {i:5d}\n{body}" for i in (1, 2))


def outcar(elements, counts):
    titles = "".join(f" POTCAR:    PAW_PBE {e} 06Sep2000\n" for e in elements)
    n = sum(counts)
    rows = "".join(
        f" {4.0 * i / n:12.5f} {0:12.5f} {0:12.5f}" + " 0.0" * 3 + "\n" for i in range(n)
    )
    vectors = "".join(
        "   " + "  ".join(f"{x:.9f}" for x in [*row, *(1 / 9,) * 3]) + "\n" for row in CELL
    )
    return (
        " vasp.6.3.0 20Jan22\n"
        + titles
        + titles
        + "   ions per type =           "
        + "".join(f"{c:4d}" for c in counts)
        + "\n"
        + "--------------------------------------- Iteration      1(   1)  ------\n"
        + "      direct lattice vectors                 reciprocal lattice vectors\n"
        + vectors
        + " POSITION                                       TOTAL-FORCE (eV/Angst)\n"
        + " "
        + "-" * 83
        + "\n"
        + rows
        + " "
        + "-" * 83
        + "\n"
        + "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n  -----------------------\n"
        + "  free  energy   TOTEN  =        -1.0 eV\n\n"
        + "  energy  without entropy=       -1.0  energy(sigma->0) =       -1.0\n"
    )


def vasprun(elements, counts):
    n = sum(counts)
    atoms = "".join(
        f"<rc><c>{e:2s}</c><c>{k}</c></rc>"
        for k, (e, c) in enumerate(zip(elements, counts, strict=True), 1)
        for _ in range(c)
    )
    types = "".join(
        f"<rc><c>  {c}</c><c>{e:2s}</c></rc>" for e, c in zip(elements, counts, strict=True)
    )
    basis = "".join(f"<v>{' '.join(map(str, row))}</v>" for row in CELL)
    places = "".join(f"<v>{i / n} 0.0 0.0</v>" for i in range(n))
    energy = "<energy><i name='e_fr_energy'>-1.0</i><i name='e_0_energy'>-1.0</i></energy>"
    structure = (
        f"<crystal><varray name='basis'>{basis}</varray></crystal>"
        f"<varray name='positions'>{places}</varray></structure>"
    )
    return (
        "<?xml version='1.0' encoding='ISO-8859-1'?><modeling>"
        "<kpoints><varray name='kpointlist'><v>0 0 0</v></varray>"
        "<varray name='weights'><v>1</v></varray></kpoints><parameters></parameters>"
        f"<atominfo><atoms>{n}</atoms><array name='atoms'><set>{atoms}</set></array>"
        f"<array name='atomtypes'><set>{types}</set></array></atominfo>"
        f"<structure name='initialpos'>{structure}"
        f"<calculation><scstep>{energy}</scstep><structure>{structure}{energy}</calculation></modeling>"
    )


FILES = {
    "POSCAR": poscar,
    "CONTCAR_x.gz": poscar,
    "a.vasp": poscar,
    "old.poscar": lambda elements, counts: poscar(elements, counts, vasp_4=True),
    "XDATCAR": xdatcar,
    "OUTCAR": outcar,
    "vasprun.xml": vasprun,
}


def written(folder, name, elements, counts):
    text = FILES[name](elements, counts).encode()
    path = Path(folder, name)
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return str(path)


groups = st.lists(
    st.tuples(st.sampled_from(["Fe", "O", "Ni"]), st.integers(1, 4)), min_size=1, max_size=5
)


@pytest.mark.parametrize("name", FILES)
@settings(deadline=None, max_examples=15)
@given(groups)
def test_names_go_to_the_groups_of_the_header(tmp_path_factory, name, groups):
    """Whatever groups follow one another; per-atom names as before."""
    elements, counts = zip(*groups, strict=True)
    path = written(tmp_path_factory.mktemp("groups"), name, elements, counts)
    names = [f"{element}_{k}" for k, element in enumerate(elements)]
    each = [name for name, count in zip(names, counts, strict=True) for _ in range(count)]
    for given_names in (names, each):
        for _, atoms, _ in iterate_structures(path, species=given_names):
            assert species_of(atoms) == each
            assert np.sort(atoms.get_scaled_positions()[:, 0]) == pytest.approx(
                atoms.get_scaled_positions()[:, 0]
            )
    for _, atoms, _ in iterate_structures(path):
        assert ARRAY not in atoms.arrays


@pytest.mark.parametrize("name", FILES)
def test_like_neighbours_are_two_groups(tmp_path, name):
    path = written(tmp_path, name, ["Fe", "Fe", "O"], [2, 2, 4])
    with pytest.raises(
        ChargeError, match=r"2 names .* for 3 groups .*; give one for each group, or"
    ):
        list(iterate_structures(path, species=["Fe1", "O"]))
    with pytest.raises(ChargeError, match="'O' is no name for atoms of Fe"):
        list(iterate_structures(path, species=["Fe1", "O", "Fe2"]))


def test_files_without_groups_ask_for_a_name_for_each_atom(tmp_path):
    """Like atoms that follow one another go by one name, others by their own."""
    atoms = Atoms("Fe4O4", np.random.default_rng(0).uniform(0, 4, (8, 3)), cell=CELL, pbc=True)
    write_density(tmp_path / "a.cube", Density(atoms, np.full((3, 3, 3), 0.1)))
    paths = [str(tmp_path / "a.cube")]
    for name in ("a.xyz", "a.cif", "a.gen"):
        write(tmp_path / name, atoms)
        paths.append(str(tmp_path / name))
    each = ["Fe1"] * 2 + ["Fe2"] * 2 + ["O"] * 4
    for path in paths:
        (found,) = [found for _, found, _ in iterate_structures(path, species=each)]
        assert species_of(found) == each
        (found,) = [found for _, found, _ in iterate_structures(path, species=["Fe1", "O"])]
        assert species_of(found) == ["Fe1"] * 4 + ["O"] * 4
        with pytest.raises(
            ChargeError, match=r"3 names .* tells no groups .* give one for each atom"
        ):
            list(iterate_structures(path, species=["Fe1", "Fe2", "O"]))


@pytest.mark.parametrize(
    "name, there, instead",
    [
        ("OUTCAR", "ions per type =", "ions per kind ="),
        ("vasprun.xml", "name='atomtypes'", "name='types'"),
        ("vasprun.xml", "<rc><c>  2</c>", "<rc><c/>"),
    ],
)
def test_groups_that_a_header_does_not_tell(tmp_path, name, there, instead):
    path = written(tmp_path, name, ["Fe", "O"], [2, 4])
    text = Path(path).read_text()
    assert there in text
    Path(path).write_text(text.replace(there, instead))
    with pytest.raises(ChargeError, match=f"{name}: "):
        list(iterate_structures(path, species=["Fe1", "O"]))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_antiferromagnet_from_its_poscar(charge_model, tmp_path, capsys):
    """The documented commands: a model whose names are those of the header's groups."""
    (tmp_path / "POSCAR").write_text(poscar(["Si", "Si"], [2, 1]))
    out = str(tmp_path / "out.xsf")
    argv = ["predict", "-m", charge_model.path, "-s", str(tmp_path / "POSCAR"), "-o", out]
    argv += ["--grid", "3", "4", "5"]
    assert main([*argv, "--species", "Si1", "Si2"]) == 1  # names that the model does not know
    assert "has not seen Si1, Si2" in capsys.readouterr().err
    assert main([*argv, "--species", "Si", "Si"]) == 0
