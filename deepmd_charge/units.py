# SPDX-License-Identifier: LGPL-3.0-or-later
"""Units of other programs in ours, A and e/A^3."""

BOHR = 0.529177210903  # A, CODATA 2018
PER_BOHR3 = BOHR**-3  # one e/bohr^3 in e/A^3
