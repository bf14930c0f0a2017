# SPDX-License-Identifier: LGPL-3.0-or-later
"""The symbols of a :class:`.jit.Program`: each operation on them writes an instruction."""

from llvmlite import ir

__all__ = ["DOUBLE", "INT32", "INT64", "SINGLE", "Array", "Value", "Variable"]

INT64, INT32 = ir.IntType(64), ir.IntType(32)
SINGLE, DOUBLE = ir.FloatType(), ir.DoubleType()
# a * b + c may be rounded once
_FLAGS = ("contract",)


class Value:
    """A number, or a vector of numbers, that the program will hold."""

    # numpy scalars leave ``np.float64(2) * value`` to __rmul__
    __array_ufunc__ = None

    def __init__(self, program, value):
        self.program = program
        self.ir = value

    @property
    def type(self):
        return self.ir.type

    @property
    def element(self):
        return getattr(self.type, "element", self.type)

    def __add__(self, other):
        return self._binary("add", self, other)

    def __sub__(self, other):
        return self._binary("sub", self, other)

    def __mul__(self, other):
        return self._binary("mul", self, other)

    def __truediv__(self, other):
        return self._binary("div", self, other)

    def __radd__(self, other):
        return self._binary("add", other, self)

    def __rsub__(self, other):
        return self._binary("sub", other, self)

    def __rmul__(self, other):
        return self._binary("mul", other, self)

    def __rtruediv__(self, other):
        return self._binary("div", other, self)

    def __neg__(self):
        return 0.0 - self

    def __or__(self, other):
        return self._binary("or_", self, other)

    def __and__(self, other):
        return self._binary("and_", self, other)

    def __lt__(self, other):
        return self._compare("<", other)

    def __le__(self, other):
        return self._compare("<=", other)

    def __gt__(self, other):
        return self._compare(">", other)

    def __ge__(self, other):
        return self._compare(">=", other)

    def differs(self, other):
        return self._compare("!=", other)

    def _binary(self, name, a, b):
        a, b = self.program.alike(a, b)
        builder = self.program.builder
        if isinstance(a.element, ir.IntType):
            return Value(self.program, getattr(builder, name)(a.ir, b.ir))
        return Value(self.program, getattr(builder, "f" + name)(a.ir, b.ir, flags=_FLAGS))

    def _compare(self, relation, other):
        a, b = self.program.alike(self, other)
        builder = self.program.builder
        if isinstance(a.element, ir.IntType):
            return Value(self.program, builder.icmp_signed(relation, a.ir, b.ir))
        return Value(self.program, builder.fcmp_ordered(relation, a.ir, b.ir))

    def to(self, element):
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


class Array:
    """Numbers in memory, from a pointer on."""

    def __init__(self, program, pointer, element):
        self._program, self._pointer, self._element = program, pointer, element

    def _address(self, index):
        index = self._program.alike(index, Value(self._program, INT64(0)))[0]
        return self._program.builder.gep(
            self._pointer, [index.ir], inbounds=True, source_etype=self._element
        )

    def __getitem__(self, index):
        return self._load(index, self._element)

    def vector(self, index, width):
        """Load the vector of elements index ... index + width - 1."""
        return self._load(index, ir.VectorType(self._element, width))

    def gather(self, index):
        """Load the elements of a vector of indices."""
        builder, index = self._program.builder, index.to(INT64)
        result = Value(self._program, ir.VectorType(self._element, index.type.count)(ir.Undefined))
        for lane in range(index.type.count):
            at = Value(self._program, builder.extract_element(index.ir, INT32(lane)))
            result.ir = builder.insert_element(result.ir, self[at].ir, INT32(lane))
        return result

    def _load(self, index, kind):
        align = self._program.size(self._element)
        builder = self._program.builder
        return Value(self._program, builder.load(self._address(index), typ=kind, align=align))

    def __setitem__(self, index, value):
        """Store a number, or a vector from this element on."""
        if not isinstance(value, Value):
            value = self._program.constant(value, self._element)
        align = self._program.size(self._element)
        self._program.builder.store(value.ir, self._address(index), align=align)

    def bytes_at(self, offset, element):
        """An array of elements from so many bytes on."""
        byte = self._program.builder.gep(
            self._pointer, [offset.ir], inbounds=True, source_etype=ir.IntType(8)
        )
        return Array(self._program, byte, element)

    def at(self, index):
        """The array from this element on."""
        return Array(self._program, self._address(index), self._element)


class Variable:
    """A value that changes as the program runs; ``value`` reads and writes it."""

    def __init__(self, program, initial):
        self._program = program
        with program.builder.goto_entry_block():
            self._slot = program.builder.alloca(initial.type)
        self._type = initial.type
        self.value = initial

    @property
    def value(self):
        return Value(self._program, self._program.builder.load(self._slot, typ=self._type))

    @value.setter
    def value(self, value):
        self._program.builder.store(value.ir, self._slot)
