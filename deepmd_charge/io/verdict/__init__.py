# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a density file is, by all that it says."""
