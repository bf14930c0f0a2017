# SPDX-License-Identifier: LGPL-3.0-or-later
"""What DeePMD-kit and dpdata load through their entry points.

They load entry points unguarded, in the middle of their own import: an
exception here would break them for users who do something else. So the
attributes of this module are imported on first use, and a failure is a warning.
"""

from __future__ import annotations

import logging
from importlib import import_module
from types import ModuleType

_HOMES = {
    "arguments": "backends.arguments",
    "dpdata": "data.dpdata_plugin",
    "tensorflow": "backends.tf.model",
}


def __getattr__(name: str) -> ModuleType | None:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return import_module(f".{_HOMES[name]}", __package__)
    except Exception as error:
        logging.getLogger(__name__).warning(
            "deepmd-charge does not work here (%s); reinstall it for this DeePMD-kit and dpdata",
            error,
        )
        return None
