# SPDX-License-Identifier: LGPL-3.0-or-later
"""Modules under the names that they had before: they hand on to the present ones."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["MOVED", "register"]

MOVED = {
    "argcheck": "backends.arguments",
    "augmentation": "io.occupancies",
    "cli._finish": "predict.postprocessing",
    "cli._frames": "io.structures",
    "cli._grid": "cli._flags",
    "cli._inputs": "cli._flags",
    "dataset": "data.dataset",
    "density": "grid.density",
    "dpdata_plugin": "data.dpdata_plugin",
    "electrons": "predict.electrons",
    "formats": "io",
    "formats._numbers": "io.text.numbers",
    "formats._text": "io.text.reader",
    "formats._text_writer": "io.text.writer",
    "formats.augmentation": "io.paw",
    "formats.chgcar": "io.chgcar",
    "formats.cube": "io.cube",
    "formats.quiet": "io.related",
    "formats.vaspwave": "io.vaspwave",
    "formats.xsf": "io.xsf",
    "fourier": "grid.fourier",
    "grids": "grid.grid",
    "inference": "predict",
    "inference.blocks": "grid.blocks",
    "inference.coarse": "predict.coarse",
    "inference.difference": "engine.se_charge_writer",
    "inference.engine": "engine.engine",
    "inference.evaluation": "predict.evaluation",
    "inference.field": "predict.field",
    "inference.frozen": "backends.tf.frozen",
    "inference.graph": "backends.tf.graph",
    "inference.images": "atoms.images",
    "inference.jit": "engine.compiler",
    "inference.kernel": "engine.kernel",
    "inference.layout": "engine.layout",
    "inference.model": "predict.charge_model",
    "inference.mpi": "predict.parallel.mpi",
    "inference.outputs": "io.names",
    "inference.parallel": "predict.parallel.blocks",
    "inference.partial": "predict.partial",
    "inference.progress": "predict.parallel.blocks",
    "inference.report": "predict.report",
    "inference.run": "predict.run",
    "inference.superposition": "engine.superposition",
    "inference.symbols": "engine.symbols",
    "inference.tables": "engine.tables",
    "kernels": "model.kernels",
    "kernels.coupling": "model.kernels.coupling",
    "kernels.harmonics": "model.kernels.harmonics",
    "kernels.network": "model.kernels.network",
    "kernels.piecewise": "model.kernels.piecewise",
    "kernels.radial": "model.kernels.radial",
    "launcher": "predict.parallel.mpi",
    "mapped": "grid.mapped",
    "metrics": "grid.metrics",
    "output": "io.output",
    "plots": "grid.plots",
    "quantities": "grid.channels",
    "saed.atomic": "atoms.free_atoms",
    "sampling": "data.sampling",
    "species": "atoms.species",
    "structures": "atoms.compare",
    "tf": "backends.tf",
    "tf.descriptor": "backends.tf.descriptor",
    "tf.embedded": "backends.tf.embedded",
    "tf.fitting": "backends.tf.fitting",
    "tf.loss": "backends.tf.loss",
    "tf.mixed": "backends.tf.mixed",
    "tf.model": "backends.tf.model",
    "tf.neighbors": "backends.tf.neighbors",
    "tf.parameters": "backends.tf.parameters",
    "tf.saed": "backends.tf.saed",
}


class _Finder(MetaPathFinder, Loader):
    """Finds the old names, after all else has failed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.partition(".")
        if package != __package__ or name not in MOVED:
            return None
        is_package = any(other.startswith(f"{name}.") for other in MOVED)
        return ModuleSpec(fullname, self, is_package=is_package)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        name = spec.name.partition(".")[2]
        target = f"{__package__}.{MOVED[name]}"
        warnings.warn(f"{spec.name} is now {target}; import that", DeprecationWarning, stacklevel=2)
        module = ModuleType(spec.name, f"The former name of {target}.")
        present = import_module(target)
        if spec.submodule_search_locations is not None:
            module.__path__ = []  # or its files would be loaded again from the present package
        vars(module)["__getattr__"] = partial(getattr, present)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """All is there already."""


def register() -> None:
    """Let the old names be imported; each gives one DeprecationWarning."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
