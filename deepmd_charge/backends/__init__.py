# SPDX-License-Identifier: LGPL-3.0-or-later
"""What DeePMD-kit trains, and the arguments that it checks."""
