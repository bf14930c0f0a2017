# SPDX-License-Identifier: LGPL-3.0-or-later
"""Which of several MPI ranks this process is, before any MPI library is loaded."""

import os

__all__ = ["launched"]

# As Open MPI, MPICH and Intel MPI (or Slurm's PMI-2), and Slurm with PMIx tell it.
_RANK_AND_SIZE = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
)


def launched():
    """Read from the environment how this process was launched.

    Returns
    -------
    rank, size : int
        0 and 1 for a process on its own.
    """
    for rank, size in _RANK_AND_SIZE:
        if rank in os.environ and size in os.environ:
            return int(os.environ[rank]), int(os.environ[size])
    return 0, 1
