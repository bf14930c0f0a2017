# SPDX-License-Identifier: LGPL-3.0-or-later
"""Work on all cores of a process, and on all ranks of an MPI run."""
