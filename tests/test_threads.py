# SPDX-License-Identifier: LGPL-3.0-or-later
"""Threads of the library that multiplies matrices."""

import numpy as np
import pytest
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
