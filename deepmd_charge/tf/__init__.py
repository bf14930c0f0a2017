# SPDX-License-Identifier: LGPL-3.0-or-later
"""The TensorFlow backend; DeePMD-kit imports this module through its entry point.

Whatever goes wrong here must not break ``import deepmd.tf`` for a user who
trains something else, hence the guard.
"""

import logging

try:
    from . import model as model  # registers model, descriptor and fitting
except Exception as error:  # pragma: no cover - depends on a broken installation
    logging.getLogger(__name__).warning(
        "deepmd-charge is not available to dp: %s. Reinstall it for this DeePMD-kit.",
        error,
    )
