# SPDX-License-Identifier: LGPL-3.0-or-later
"""The symbols of a :class:`.Program`: each operation on them writes an instruction."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from llvmlite import ir

__all__ = [
    "DOUBLE", "INT32", "INT64", "SINGLE", "Array", "Instruction", "Number", "Type", "Value",
    "Variable",
]  # fmt: skip

# of llvmlite, which has no types: a value or pointer of a program, and the type of one
Instruction: TypeAlias = Any
Type: TypeAlias = Any

INT64, INT32 = ir.IntType(64), ir.IntType(32)
SINGLE, DOUBLE = ir.FloatType(), ir.DoubleType()
# a * b + c may be rounded once
_FLAGS = ("contract",)


class Assembler(Protocol):
    """What symbols need of their program."""

    builder: Any

    def alike(self, a: Number, b: Number) -> tuple[Value, Value]:
        """Two values of one type."""

    def constant(self, number: float, kind: Type) -> Value:
        """A number."""

    @staticmethod
    def shaped(element: Type, like: Type) -> Type:
        """The type of so many elements as another type has."""

    @staticmethod
    def size(element: Type) -> int:
        """Bytes of an element."""


class Value:
    """A number, or a vector of numbers, that the program will hold."""

    # numpy scalars leave ``np.float64(2) * value`` to __rmul__
    __array_ufunc__ = None

    def __init__(self, program: Assembler, value: Instruction) -> None:
        self.program = program
        self.ir = value

    @property
    def type(self) -> Type:
        """Its type, an element or a vector of elements."""
        return self.ir.type

    @property
    def element(self) -> Type:
        """The type of its elements."""
        return getattr(self.type, "element", self.type)

    def __add__(self, other: Number) -> Value:
        return self._binary("add", self, other)

    def __sub__(self, other: Number) -> Value:
        return self._binary("sub", self, other)

    def __mul__(self, other: Number) -> Value:
        return self._binary("mul", self, other)

    def __truediv__(self, other: Number) -> Value:
        # a number's inverse is known now, and multiplying is far quicker
        return (
            self._binary("div", self, other) if isinstance(other, Value) else self * (1.0 / other)
        )

    def __radd__(self, other: Number) -> Value:
        return self._binary("add", other, self)

    def __rsub__(self, other: Number) -> Value:
        return self._binary("sub", other, self)

    def __rmul__(self, other: Number) -> Value:
        return self._binary("mul", other, self)

    def __rtruediv__(self, other: Number) -> Value:
        return self._binary("div", other, self)

    def __pow__(self, exponent: int) -> Value:
        return self if exponent == 1 else self * self ** (exponent - 1)

    def __lshift__(self, bits: int) -> Value:
        return self._binary("shl", self, bits)

    def __rshift__(self, bits: int) -> Value:
        return self._binary("ashr", self, bits)

    def __neg__(self) -> Value:
        return 0.0 - self

    def __or__(self, other: Number) -> Value:
        return self._binary("or_", self, other)

    def __and__(self, other: Number) -> Value:
        return self._binary("and_", self, other)

    def __lt__(self, other: Number) -> Value:
        return self._compare("<", other)

    def __le__(self, other: Number) -> Value:
        return self._compare("<=", other)

    def __gt__(self, other: Number) -> Value:
        return self._compare(">", other)

    def __ge__(self, other: Number) -> Value:
        return self._compare(">=", other)

    def differs(self, other: Number) -> Value:
        """Whether it is another number: == stays Python's own."""
        return self._compare("!=", other)

    def _binary(self, name: str, first: Number, second: Number) -> Value:
        a, b = self.program.alike(first, second)
        builder = self.program.builder
        if isinstance(a.element, ir.IntType):
            return Value(self.program, getattr(builder, name)(a.ir, b.ir))
        return Value(self.program, getattr(builder, "f" + name)(a.ir, b.ir, flags=_FLAGS))

    def _compare(self, relation: str, other: Number) -> Value:
        a, b = self.program.alike(self, other)
        builder = self.program.builder
        if isinstance(a.element, ir.IntType):
            return Value(self.program, builder.icmp_signed(relation, a.ir, b.ir))
        return Value(self.program, builder.fcmp_ordered(relation, a.ir, b.ir))

    def to(self, element: Type) -> Value:
        """Converted to another element type; floats are cut to integers."""
        builder, here = self.program.builder, self.element
        if here == element:
            return self
        whole = isinstance(here, ir.IntType), isinstance(element, ir.IntType)
        if whole == (True, True):
            convert = builder.sext if here.width < element.width else builder.trunc
        elif whole == (True, False):
            convert = builder.sitofp
        elif whole == (False, True):
            convert = builder.fptosi
        else:
            convert = builder.fpext if here == SINGLE else builder.fptrunc
        return Value(self.program, convert(self.ir, self.program.shaped(element, self.type)))


# A symbol, or a number that becomes a constant.
Number: TypeAlias = Value | float


class Array:
    """Numbers in memory, from a pointer on."""

    def __init__(self, program: Assembler, pointer: Instruction, element: Type) -> None:
        self._program, self._pointer, self._element = program, pointer, element

    def _address(self, index: Number) -> Instruction:
        place, _ = self._program.alike(index, Value(self._program, INT64(0)))
        return self._program.builder.gep(
            self._pointer, [place.ir], inbounds=True, source_etype=self._element
        )

    def __getitem__(self, index: Number) -> Value:
        return self._load(index, self._element)

    def vector(self, index: Number, width: int) -> Value:
        """Load the vector of elements index ... index + width - 1."""
        return self._load(index, ir.VectorType(self._element, width))

    def gather(self, index: Value) -> Value:
        """Load the elements of a vector of indices."""
        builder, index = self._program.builder, index.to(INT64)
        result = Value(self._program, ir.VectorType(self._element, index.type.count)(ir.Undefined))
        for lane in range(index.type.count):
            at = Value(self._program, builder.extract_element(index.ir, INT32(lane)))
            result.ir = builder.insert_element(result.ir, self[at].ir, INT32(lane))
        return result

    def _load(self, index: Number, kind: Type) -> Value:
        align = self._program.size(self._element)
        builder = self._program.builder
        return Value(self._program, builder.load(self._address(index), typ=kind, align=align))

    def __setitem__(self, index: Number, value: Number) -> None:
        """Store a number, or a vector from this element on."""
        if not isinstance(value, Value):
            value = self._program.constant(value, self._element)
        align = self._program.size(self._element)
        self._program.builder.store(value.ir, self._address(index), align=align)

    def bytes_at(self, offset: Value, element: Type) -> Array:
        """An array of elements from so many bytes on."""
        byte = self._program.builder.gep(
            self._pointer, [offset.ir], inbounds=True, source_etype=ir.IntType(8)
        )
        return Array(self._program, byte, element)

    def at(self, index: Number) -> Array:
        """The array from this element on."""
        return Array(self._program, self._address(index), self._element)


class Variable:
    """A value that changes as the program runs; ``value`` reads and writes it."""

    def __init__(self, program: Assembler, initial: Value) -> None:
        self._program = program
        with program.builder.goto_entry_block():
            self._slot = program.builder.alloca(initial.type)
        self._type = initial.type
        self.value = initial

    @property
    def value(self) -> Value:
        """What it holds at this place of the program."""
        return Value(self._program, self._program.builder.load(self._slot, typ=self._type))

    @value.setter
    def value(self, value: Value) -> None:
        self._program.builder.store(value.ir, self._slot)
