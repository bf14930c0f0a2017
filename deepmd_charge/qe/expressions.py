# SPDX-License-Identifier: LGPL-3.0-or-later
"""Expressions such as ``1/2*3^(-1/2)``, which pw.x takes for positions of atoms."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable

from .namelists import to_number

__all__ = ["evaluate"]

_OPERATIONS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_EXPONENT = re.compile(r"(\d\.?)[dD]([+-]?\d)")
_MOST = 200  # letters


def evaluate(text: str) -> float:
    """Compute a number, or an expression of + - * / ^ and parentheses: pw.x knows no functions.

    Raises
    ------
    ValueError
        If it is none, or its value is not finite.
    """
    number = to_number(text)
    try:
        value = float(number if number is not None else _evaluate(text))
    except (SyntaxError, ArithmeticError, TypeError, RecursionError):
        raise ValueError(f"{text[:40]!r} is neither a number nor an expression") from None
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]!r} is not finite")
    return value


def _evaluate(text: str) -> float:
    if len(text) > _MOST:
        raise ValueError(f"{text[:40]!r}... is too long")
    return _value(ast.parse(_EXPONENT.sub(r"\1e\2", text).replace("^", "**"), mode="eval").body)


def _value(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return float(node.value)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        return _OPERATIONS[type(node.op)](_value(node.left), _value(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.UAdd, ast.USub)):
        value = _value(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    raise SyntaxError
