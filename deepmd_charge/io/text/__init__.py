# SPDX-License-Identifier: LGPL-3.0-or-later
"""Text files with large blocks of numbers."""
