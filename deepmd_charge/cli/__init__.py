# SPDX-License-Identifier: LGPL-3.0-or-later
"""The command ``deepmd-charge``: one module a subcommand."""
