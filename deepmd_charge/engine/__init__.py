# SPDX-License-Identifier: LGPL-3.0-or-later
"""Models as compiled code: the compiler, and what it compiles of a model."""
