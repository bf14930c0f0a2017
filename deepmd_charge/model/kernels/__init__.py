# SPDX-License-Identifier: LGPL-3.0-or-later
"""The mathematics of the model, free of any framework.

Every function takes the array namespace ``xp`` first (``numpy``, or
``tensorflow``), so that one definition serves the training graph, the
statistics and whatever else evaluates the model.
"""
