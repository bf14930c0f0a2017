# SPDX-License-Identifier: LGPL-3.0-or-later
"""The one exception that a user meets, and the warnings told apart."""


class ChargeError(ValueError):
    """A one-line complaint: which file (and line), what is wrong, what to do.

    The command line prints the message without a traceback and exits with a
    non-zero status.
    """


class ElectronCountWarning(UserWarning):
    """A density does not integrate to a whole number of electrons.

    A sign of a damaged or mistaken file, but the rule for predicted ones.
    """
