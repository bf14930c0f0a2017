# SPDX-License-Identifier: LGPL-3.0-or-later
"""Threads of the library that multiplies matrices."""

import numpy as np
import pytest
from scipy.linalg import lapack
from threadpoolctl import threadpool_info

from deepmd_charge import threads


def counts():
    return [x["num_threads"] for x in threadpool_info() if x["user_api"] == "blas"]


def test_blas_has_one_thread_for_a_while():
    """And as many as before when it is over, whatever ends it."""
    before = counts()
    a = np.random.default_rng(0).normal(size=(200, 200))
    with threads.one_thread_of_blas() as n:
        assert n == max(before, default=1)
        assert counts() == [1] * len(before)
        with threads.one_thread_of_blas() as inner:
            assert inner == 1
        product = a @ a
    assert counts() == before
    with pytest.raises(ZeroDivisionError), threads.one_thread_of_blas():
        raise ZeroDivisionError
    assert counts() == before
    assert product == pytest.approx(a @ a, abs=1e-10)


def counts_beside_scipy(_):
    """What matrices of numpy and of scipy get in a process that had neither of them loaded."""
    lapack.dpotrf(np.eye(3))
    return counts()


def test_a_process_has_one_thread_of_each_blas():
    """That of scipy, too, which is another library and is loaded when it is first used."""
    for found in threads.in_processes(counts_beside_scipy, range(2), 2):
        assert found and set(found) == {1}
