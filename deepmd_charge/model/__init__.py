# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a model is: its keys, its weights by name, and its equations in plain arrays.

Nothing here knows of a backend: those that train, freeze or compile a model
take a :class:`.spec.ModelSpec` and :class:`.weights.Weights`, and are right
where they equal :func:`.reference.evaluate`.
"""
