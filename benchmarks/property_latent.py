# SPDX-License-Identifier: LGPL-3.0-or-later
"""The autoencoder of densities: trained, measured beside PCA, and its latent vectors.

    python benchmarks/property_latent.py STAGE... --data DATA [-o RUN]

DATA holds ``elastic/`` (structures of 3,953 binaries, whose free atoms are superposed; no label
is looked at). STAGE is any of boxes, train, pca, errors, large, encode, in this order; each goes on
where it was stopped. Held out are the compounds of fold 0 of five.
"""

import argparse
import gzip
import hashlib
import json
import resource
import time
from pathlib import Path

import numpy as np
import spglib
from ase import Atoms
from tqdm import tqdm

from deepmd_charge.property.autoencoder import (
    Autoencoder,
    AutoencoderSettings,
    Errors,
    relative_errors,
)
from deepmd_charge.property.autoencoder_training import train_autoencoder
from deepmd_charge.property.boxes import BoxSettings, write_boxes
from deepmd_charge.property.latents import pooled
from deepmd_charge.property.superposed import superposed
from deepmd_charge.stderr import progress_is_shown

COPIES = 4
SEED = 0
COMPONENTS = 1024  # as many numbers as the latent of a box
SYSTEMS = (
    *("triclinic", "monoclinic", "orthorhombic", "tetragonal"),
    *("trigonal", "hexagonal", "cubic"),
)
SETTINGS = AutoencoderSettings(batch_size=8, epochs=6, learning_rate=1e-3, seed=SEED)


class Superposed:
    """The superposed densities of structures, each made when it is asked for."""

    def __init__(self, structures, settings):
        self.structures, self.settings = structures, settings

    def __len__(self):
        return len(self.structures)

    def __getitem__(self, k):
        return superposed(self.structures[k], self.settings.spacing / 2.0)

    @property
    def names(self):
        """What tells the structures: a run that goes on need not superpose them again."""
        return [
            hashlib.sha256(
                b"".join(
                    np.ascontiguousarray(x).tobytes() for x in (a.cell.array, *a.arrays.values())
                )
            ).hexdigest()
            for a in self.structures
        ]


def main():
    """Run the stages that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "stages", nargs="+", choices=STAGES, metavar="STAGE", help=", ".join(STAGES)
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path(__file__).parent / "runs" / "property"
    )
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    entries = load(args.data / "elastic")
    for stage in args.stages:
        STAGES[stage](args.output, entries)


def load(folder):
    """Identifiers and structures of the binaries."""
    with gzip.open(folder / "elastic_structures.json.gz") as file:
        entries = json.load(file)["entries"]
    return {
        e["id"]: Atoms(e["numbers"], scaled_positions=e["frac"], cell=e["cell"], pbc=True)
        for e in entries
        if e["source"] == "matcalc"
    }


def split(n):
    """Indices that are trained on, and those of fold 0 of five."""
    from sklearn.model_selection import KFold

    return next(KFold(5, shuffle=True, random_state=0).split(np.arange(n)))


def boxes(folder, structures):
    """Write boxes of random poses of all compounds."""
    settings = BoxSettings()
    densities = Superposed(list(structures.values()), settings)
    return write_boxes(folder / "boxes.npy", densities, settings, COPIES, SEED, densities.names)


def train(folder, structures):
    """Train the autoencoder on four of five folds."""
    path = folder / "autoencoder.npz"
    if path.exists():
        return Autoencoder.load(path)
    rows, _ = split(len(structures))
    model = train_autoencoder(
        boxes(folder, structures), SETTINGS, rows, checkpoint=folder / "checkpoint.npz"
    )
    model.save(path, "float16")
    return model


def pca(folder, structures):
    """Principal components (1024, 32768) of the boxes of four of five folds, and their mean.

    Randomised subspace iterations that stream the boxes.
    """
    path = folder / "pca.npz"
    if not path.exists():
        all_boxes, (rows, _) = boxes(folder, structures), split(len(structures))
        mean = np.mean([all_boxes[k].mean(axis=0, dtype=np.float64) for k in rows], axis=0).ravel()
        mean = mean.astype(np.float32)
        start = np.random.default_rng(SEED).normal(size=(mean.size, COMPONENTS + 64))
        basis = np.linalg.qr(start.astype(np.float32))[0]
        for _ in range(3):
            image = np.zeros_like(basis)
            for part in np.array_split(rows, len(rows) // 64):
                x = all_boxes[part].reshape(-1, mean.size).astype(np.float32) - mean
                image += x.T @ (x @ basis)
            basis, triangle = np.linalg.qr(image)
        turn = np.linalg.svd(triangle)[0]
        np.savez(path, mean=mean, components=(basis @ turn)[:, :COMPONENTS].T)
    with np.load(path) as file:
        return file["mean"], file["components"]


def errors(folder, structures):
    """Print the errors of held-out compounds by crystal system, and draw a slice."""
    model, (mean, components) = train(folder, structures), pca(folder, structures)
    _, rows = split(len(structures))
    all_boxes = boxes(folder, structures)
    names, found = list(structures), {}
    for part in np.array_split(rows, len(rows) // 16):
        x = all_boxes[part].reshape(-1, *all_boxes.shape[2:]).astype(np.float32)
        flat = x.reshape(len(x), -1) - mean
        again = (mean + (flat @ components.T) @ components).reshape(x.shape)
        for name, measured in (
            ("autoencoder", model.error(x)),
            ("PCA", relative_errors(x, again, model.mean)),
        ):
            found.setdefault(name, []).append(np.stack(measured, axis=1))
    each = {
        name: np.concatenate(parts).reshape(len(rows), COPIES, 3).mean(axis=1)
        for name, parts in found.items()
    }
    systems = np.array([crystal_system(structures[names[k]]) for k in rows])
    print(f"| {'system':12} | compounds | plain | PCA | centred | PCA | density | PCA |")
    print("|---|---|---|---|---|---|---|---|")
    for system in (*SYSTEMS, "all"):
        chosen = systems == system if system != "all" else np.ones(len(rows), dtype=bool)
        if not chosen.any():
            continue
        numbers = np.stack([each[name][chosen].mean(axis=0) for name in each], axis=1).ravel()
        print(f"| {system:12} | {chosen.sum()} | " + " | ".join(f"{v:.4f}" for v in numbers) + " |")
    for k, name in enumerate(Errors._fields):
        gain = each["PCA"][:, k] - each["autoencoder"][:, k]
        drawn = np.random.default_rng(SEED).integers(len(gain), size=(10000, len(gain)))
        low, high = np.percentile(gain[drawn].mean(axis=1), [2.5, 97.5])
        print(
            f"{name}: PCA - autoencoder {gain.mean():.4f} (95%: {low:.4f} to {high:.4f});"
            f" the autoencoder is better for {(gain > 0).mean():.1%} of the compounds"
        )
    order = np.argsort(each["autoencoder"][:, 0])
    shown = order[[len(order) // 10, len(order) // 2, len(order) * 9 // 10]]
    panels = {
        structures[names[rows[k]]].get_chemical_formula(): all_boxes[rows[k], :1] for k in shown
    }
    draw(folder / "property_latent.png", model, mean, components, panels)


def crystal_system(atoms):
    """By the space group that spglib finds."""
    cell = atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers
    number = spglib.get_symmetry_dataset(cell, symprec=0.01).number
    return SYSTEMS[np.searchsorted([2, 15, 74, 142, 167, 194, 230], number)]


def draw(path, model, mean, components, boxes_of):
    """A slice through the boxes of compounds, and what became of it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(len(boxes_of), 3, figsize=(7.5, 7.2), layout="constrained")
    for number, (formula, box) in enumerate(boxes_of.items()):
        x = box.astype(np.float32)
        flat = x.reshape(1, -1) - mean
        panels = {
            "smoothed density": x,
            "autoencoder": model.decode(model.encode(x)),
            "PCA": (mean + (flat @ components.T) @ components).reshape(x.shape),
        }
        for axis, (title, panel) in zip(axes[number], panels.items(), strict=True):
            image = axis.imshow(
                2.0 * panel[0, :, :, 16].T - 1.0,
                origin="lower",
                vmin=-2.0,
                vmax=1.0,
                extent=(0, 9.6, 0, 9.6),
            )
            axis.set(xticks=[0, 9.6], yticks=[0, 9.6], title="" if number else title)
        axes[number, 0].set_ylabel(f"{formula}, A")
    figure.colorbar(image, ax=axes, label="log10 of the density in e/A$^3$", shrink=0.6)
    figure.savefig(path, dpi=100)


def large(folder, structures):
    """One epoch of the size of the paper on 50 densities: time and memory."""
    settings = AutoencoderSettings(box=128, batch_size=1, epochs=1, learning_rate=1e-3, seed=SEED)
    densities = Superposed(list(structures.values())[:50], settings.boxes)
    start = time.process_time()
    all_boxes = write_boxes(
        folder / "boxes128.npy", densities, settings.boxes, 1, SEED, densities.names
    )
    written = time.process_time()
    before = peak()
    model = train_autoencoder(all_boxes, settings)
    trained = time.process_time()
    latents = model.encode(all_boxes[:1, 0])
    print(
        f"50 boxes of 128^3: written in {written - start:.0f} CPU s, one epoch in"
        f" {trained - written:.0f} CPU s, latents {latents.shape[1:]}, peak memory {peak():.0f} MB"
        f" ({before:.0f} MB before the training)"
    )


def peak():
    """Peak resident memory of this process, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def encode(folder, structures):
    """Write the latents of all compounds, of every pose, and what is pooled of them."""
    model, all_boxes = train(folder, structures), boxes(folder, structures)
    bar = tqdm(range(len(all_boxes)), desc="encode", disable=not progress_is_shown())
    latents = np.stack([model.encode(all_boxes[k]).astype(np.float16) for k in bar])
    np.savez_compressed(
        folder / "latents.npz",
        id=np.array(list(structures)),
        latents=latents,
        pooled=np.stack([pooled(z) for z in latents]),
    )
    print(f"{folder / 'latents.npz'}: latents {latents.shape}, pooled")


STAGES = {stage.__name__: stage for stage in (boxes, train, pca, errors, large, encode)}

if __name__ == "__main__":
    main()
