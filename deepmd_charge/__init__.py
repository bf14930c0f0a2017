# SPDX-License-Identifier: LGPL-3.0-or-later
"""Learn electron charge densities with DeePMD-kit.

The names below are imported on first use, so that importing this package
costs nothing to the programs that load it as a plugin.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ._moved import register

if TYPE_CHECKING:
    from . import saed as saed
    from .errors import ChargeError as ChargeError
    from .grid.density import Density as Density
    from .io import iterate_densities as iterate_densities
    from .io import read_density as read_density
    from .io import write_density as write_density
    from .predict import ChargeModel as ChargeModel

    __version__: str

__all__ = [
    "ChargeError",
    "ChargeModel",
    "Density",
    "iterate_densities",
    "read_density",
    "write_density",
]

_HOME = {
    "ChargeError": "errors",
    "ChargeModel": "predict",
    "Density": "grid.density",
    "iterate_densities": "io",
    "read_density": "io",
    "write_density": "io",
}


if not TYPE_CHECKING:  # or any other name would pass for one of these

    def __getattr__(name: str) -> object:
        if name == "__version__":
            return _version()
        if name == "saed":
            return import_module(".saed", __name__)
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{_HOME[name]}", __name__), name)


def _version() -> str:
    """Of what is installed, which git's tags set."""
    from importlib import metadata

    try:
        return metadata.version("deepmd-charge")
    except metadata.PackageNotFoundError:
        return "not installed"


def __dir__() -> list[str]:
    return sorted(__all__)


register()
