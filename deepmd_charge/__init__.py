# SPDX-License-Identifier: LGPL-3.0-or-later
"""Learn electron charge densities with DeePMD-kit.

The names below are imported on first use, so that importing this package
costs nothing to the programs that load it as a plugin.
"""

from importlib import import_module

from ._moved import register

__all__ = [
    "ChargeError", "ChargeModel", "Density", "iterate_densities", "read_density", "write_density",
]  # fmt: skip

_HOME = {
    "ChargeError": "errors",
    "ChargeModel": "predict",
    "Density": "grid.density",
    "iterate_densities": "io",
    "read_density": "io",
    "write_density": "io",
}


def __getattr__(name):
    if name == "__version__":
        return _version()
    if name == "saed":
        return import_module(".saed", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def _version():
    """Of what is installed, which git's tags set."""
    metadata = import_module("importlib.metadata")
    try:
        return metadata.version("deepmd-charge")
    except metadata.PackageNotFoundError:
        return "not installed"


def __dir__():
    return sorted(__all__)


register()
