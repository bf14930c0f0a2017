# SPDX-License-Identifier: LGPL-3.0-or-later
"""Machine code for the processor at hand, written as Python expressions.

A :class:`Program` is one function. Python code that runs on its symbols, such
as the harmonics of :mod:`deepmd_charge.model.kernels`, writes its instructions; LLVM
compiles them for the vector units of this processor in well under a second::

    p = Program("double", ["x", "n"])
    x = p.array("x", p.real)
    with p.loop(0, p.integer("n")) as i:
        x[i] = 2.0 * x[i] + 1.0
    double = p.compile()
    double(array, len(array))

A program is also the array namespace ``xp`` of those kernels.
"""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from .symbols import DOUBLE, INT32, INT64, SINGLE, Array, Number, Type, Value, Variable

__all__ = ["Machine", "Program"]

# of a float: bits of the mantissa, bias of the exponent, range and terms of exp, terms of log1p
# and of sin
_FORMATS = {
    SINGLE: (23, 127, (-87.0, 88.0), 8, 6, 7),
    DOUBLE: (52, 1023, (-708.0, 709.0), 14, 12, 11),
}


# the integers of as many bits
_WHOLE = {SINGLE: INT32, DOUBLE: INT64}


class Machine:
    """The processor at hand.

    Attributes
    ----------
    vector_bytes : int
        Size of a vector register.
    registers : int
        Number of vector registers.
    """

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        features = llvm.get_host_cpu_features()
        self._features = features.flatten()
        if features.get("avx512f"):
            self.vector_bytes, self.registers = 64, 32
        elif features.get("avx"):
            self.vector_bytes, self.registers = 32, 16
        else:
            arm = llvm.get_default_triple().startswith(("aarch64", "arm64"))
            self.vector_bytes, self.registers = 16, 32 if arm else 16

    def compile(self, module: str, name: str) -> tuple[int, Any]:
        """Compile LLVM assembly and load it.

        Parameters
        ----------
        module : str
            The assembly.
        name : str
            A function in it.

        Returns
        -------
        address : int
            Of that function.
        owner : llvmlite.binding.ResourceTracker
            The code is in memory for as long as this is.
        """
        # JITLink puts a program in one piece of memory, so that everything is within reach of
        # short addresses, on every processor; it is not made for Windows
        one_piece = sys.platform != "win32"
        target = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(),
            features=self._features,
            opt=3,
            **({"reloc": "pic", "codemodel": "small"} if one_piece else {}),
        )
        parsed = llvm.parse_assembly(module)
        parsed.verify()
        tuning = llvm.create_pipeline_tuning_options(speed_level=3)
        # what is to be vectorised or unrolled is written so
        tuning.loop_vectorization = False
        tuning.slp_vectorization = False
        tuning.loop_unrolling = False
        builder = llvm.create_pass_builder(target, tuning)
        builder.getModulePassManager().run(parsed, builder)
        library = llvm.JITLibraryBuilder().add_object_img(target.emit_object(parsed))
        library.export_symbol(name).add_current_process()  # LLVM may call memset, floor, ...
        jit = llvm.create_lljit_compiler(target, use_jit_link=one_piece, suppress_errors=True)
        owner = library.link(jit, name)
        return owner[name], owner


class Program:
    """One function of pointers and integers.

    Parameters
    ----------
    name : str
        Its name.
    parameters : list of str
        Names of its parameters: addresses of arrays, and integers.
    machine : Machine, optional
        The processor to compile for.
    real : {"float32", "float64"}
        The type of ``real`` numbers.

    Attributes
    ----------
    real, double, int32, int64
        Element types.
    width : int
        Real numbers in a vector register.
    """

    double, int32, int64 = DOUBLE, INT32, INT64

    def __init__(
        self,
        name: str,
        parameters: list[str],
        machine: Machine | None = None,
        real: str = "float64",
    ) -> None:
        self.machine = machine or Machine()
        self.real = {"float32": SINGLE, "float64": DOUBLE}[real]
        self.width = self.machine.vector_bytes // self.size(self.real)
        self._name = name
        self._module = ir.Module(name)
        signature = ir.FunctionType(INT64, [INT64] * len(parameters))
        self._function = ir.Function(self._module, signature, name)
        self._parameters = dict(zip(parameters, self._function.args, strict=True))
        self.builder = ir.IRBuilder(self._function.append_basic_block("entry"))
        start = self._function.append_basic_block("start")
        self._entry_end = self.builder.branch(start)
        self.builder.position_at_end(start)

    # values

    @staticmethod
    def size(element: Type) -> int:
        """Bytes of an element."""
        return {SINGLE: 4, DOUBLE: 8, INT32: 4, INT64: 8}[element]

    @staticmethod
    def shaped(element: Type, like: Type) -> Type:
        """The type of so many elements as another type has."""
        return ir.VectorType(element, like.count) if isinstance(like, ir.VectorType) else element

    def constant(self, number: float, kind: Type) -> Value:
        """A number, or a vector of equal numbers."""
        element: Type = getattr(kind, "element", kind)
        number = int(number) if isinstance(element, ir.IntType) else float(number)
        if element == SINGLE:
            number = float(np.float32(number))
        one = element(number)
        if isinstance(kind, ir.VectorType):
            return Value(self, ir.Constant(kind, [one] * kind.count))
        return Value(self, one)

    def alike(self, a: Number, b: Number) -> tuple[Value, Value]:
        """Two values of one type: constants made, numbers spread over vectors."""
        if not isinstance(a, Value):
            if not isinstance(b, Value):
                raise TypeError(f"{a} and {b}: one of them must be a value of the program")
            a = self.constant(a, b.type)
        if not isinstance(b, Value):
            b = self.constant(b, a.type)
        if isinstance(a.type, ir.VectorType) and not isinstance(b.type, ir.VectorType):
            b = self.spread(b, a.type.count)
        elif isinstance(b.type, ir.VectorType) and not isinstance(a.type, ir.VectorType):
            a = self.spread(a, b.type.count)
        return a, b

    def spread(self, value: Value, width: int) -> Value:
        """A vector of equal elements."""
        kind = ir.VectorType(value.type, width)
        one = self.builder.insert_element(kind(ir.Undefined), value.ir, INT32(0))
        mask = ir.Constant(ir.VectorType(INT32, width), [0] * width)
        return Value(self, self.builder.shuffle_vector(one, kind(ir.Undefined), mask))

    @property
    def vector_type(self) -> Type:
        """The type of a vector of reals."""
        return ir.VectorType(self.real, self.width)

    def integer(self, name: str) -> Value:
        """The parameter of a name, an integer."""
        return Value(self, self._parameters[name])

    def array(self, name: str, element: Type) -> Array:
        """The parameter of a name, an array of some element type."""
        pointer = self.builder.inttoptr(self._parameters[name], ir.PointerType())
        return Array(self, pointer, element)

    def variable(self, initial: Number, kind: Type = None) -> Variable:
        """A variable with its first value, a constant of a type or a value."""
        if not isinstance(initial, Value):
            initial = self.constant(initial, kind)
        return Variable(self, initial)

    def memory(self, array: NDArray[Any], element: Type) -> Array:
        """An array that already exists, to be kept as long as the program."""
        pointer = self.builder.inttoptr(INT64(array.ctypes.data), ir.PointerType())
        return Array(self, pointer, element)

    # control

    @contextmanager
    def loop(self, start: Number, stop: Number, step: int = 1) -> Iterator[Value]:
        """Run what follows for a counter from start to below stop."""
        counter = self.variable(start, INT64)
        head, body, end = (self._function.append_basic_block() for _ in range(3))
        self.builder.branch(head)
        self.builder.position_at_end(head)
        inside = counter.value < stop
        self.builder.cbranch(inside.ir, body, end)
        self.builder.position_at_end(body)
        now = counter.value
        yield now
        counter.value = now + step
        self.builder.branch(head)
        self.builder.position_at_end(end)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Run what follows if a condition holds."""
        with self.builder.if_then(condition.ir):
            yield

    def leave(self, value: Number) -> None:
        """Return from the function."""
        value = value if isinstance(value, Value) else self.constant(value, INT64)
        self.builder.ret(value.ir)
        self.builder.position_at_end(self._function.append_basic_block())

    def clock(self) -> Value:
        """The processor's counter of cycles, for measurements."""
        name = "llvm.readcyclecounter"
        signature = ir.FunctionType(INT64, [])
        function = self._module.globals.get(name) or ir.Function(self._module, signature, name)
        return Value(self, self.builder.call(function, []))

    # mathematics

    def _intrinsic(self, name: str, *values: Value) -> Value:
        kind = values[0].type
        lanes = f"v{kind.count}" if isinstance(kind, ir.VectorType) else ""
        full = f"llvm.{name}.{lanes}{values[0].element.intrinsic_name}"
        signature = ir.FunctionType(kind, [kind] * len(values))
        function = self._module.globals.get(full) or ir.Function(self._module, signature, full)
        return Value(self, self.builder.call(function, [v.ir for v in values]))

    def multiply_add(self, a: Number, b: Number, c: Number) -> Value:
        """Write a b + c."""
        a, b = self.alike(a, b)
        b, c = self.alike(b, c)
        return self._intrinsic("fmuladd", a, b, c)

    def ones_like(self, x: Value) -> Value:
        """1, of the type of x."""
        return self.constant(1.0, x.type)

    def zeros_like(self, x: Value) -> Value:
        """0, of the type of x."""
        return self.constant(0.0, x.type)

    def where(self, condition: Value, a: Number, b: Number) -> Value:
        """Write a where the condition holds, else b."""
        a, b = self.alike(a, b)
        return Value(self, self.builder.select(condition.ir, a.ir, b.ir))

    def minimum(self, a: Number, b: Number) -> Value:
        """Write the smaller of two."""
        a, b = self.alike(a, b)
        return self.where(a < b, a, b)

    def maximum(self, a: Number, b: Number) -> Value:
        """Write the larger of two."""
        a, b = self.alike(a, b)
        return self.where(a > b, a, b)

    def sqrt(self, x: Value) -> Value:
        """Write the square root."""
        return self._intrinsic("sqrt", x)

    def floor(self, x: Value) -> Value:
        """Write the largest whole number that is not above x."""
        return self._intrinsic("floor", x)

    def abs(self, x: Value) -> Value:
        """Write the absolute value."""
        return self._intrinsic("fabs", x)

    def polynomial(self, x: Value, coefficients: list[Value]) -> Value:
        """Sum of coefficients times powers of x, the constant first."""
        *rest, result = coefficients
        for c in reversed(rest):
            result = self.multiply_add(result, x, c)
        return result

    def exp(self, x: Value) -> Value:
        """To the precision of the type; held to what it can represent."""
        mantissa, bias, (low, high), terms, _, _ = _FORMATS[x.element]
        x = self.minimum(self.maximum(x, low), high)
        n = self._intrinsic("rint", x * math.log2(math.e))
        # ln 2 in two parts, the first with so few bits that its multiple is exact
        coarse = round(math.log(2.0) * 2**11) / 2**11
        r = self.multiply_add(n, -coarse, x)
        r = self.multiply_add(n, coarse - math.log(2.0), r)
        series = [self.constant(1.0 / math.factorial(k), x.type) for k in range(terms)]
        power = n.to(_WHOLE[x.element]) + bias
        return self.polynomial(r, series) * self._bits(power << mantissa, x.type)

    def log1p(self, x: Value) -> Value:
        """ln(1 + x) for x >= 0, to the precision of the type, also where x is small."""
        mantissa, bias, *_, terms, _ = _FORMATS[x.element]
        y = 1.0 + x
        lost = self.where(x < 1.0, x - (y - 1.0), 1.0 - (y - x))
        # y = 2^n m with m between the roots of 1/2 and 2
        bits = self._bits(y, self.shaped(_WHOLE[x.element], x.type))
        least = int(math.sqrt(0.5) * 2 ** (mantissa + 1)) + ((bias - 2) << mantissa)
        n = (bits - least) >> mantissa
        m = self._bits(bits - (n << mantissa), x.type)
        s = (m - 1.0) / (m + 1.0)
        series = [self.constant(2.0 / (2 * k + 1), x.type) for k in range(terms)]
        log = self.multiply_add(s, self.polynomial(s * s, series), lost / y)
        return self.multiply_add(n.to(x.element), math.log(2.0), log)

    def sin(self, x: Value) -> Value:
        """To the precision of the type while x is a few turns at most."""
        *_, terms = _FORMATS[x.element]
        n = self._intrinsic("rint", x * (1.0 / math.pi))
        coarse = round(math.pi * 2**9) / 2**9
        r = self.multiply_add(n, -coarse, x)
        r = self.multiply_add(n, coarse - math.pi, r)
        series = [
            self.constant((-1.0) ** k / math.factorial(2 * k + 1), x.type) for k in range(terms)
        ]
        every_other = (n.to(_WHOLE[x.element]) & 1).to(x.element)
        return (r - 2.0 * every_other * r) * self.polynomial(r * r, series)

    def _bits(self, value: Value, kind: Type) -> Value:
        """The same bits as a value of another type."""
        return Value(self, self.builder.bitcast(value.ir, kind))

    # compilation

    def compile(self) -> Callable[..., int]:
        """Compile the program.

        Returns
        -------
        callable
            Takes arrays (their memory must be contiguous) and integers, gives
            an integer; other Python threads run meanwhile.
        """
        self.builder.ret(INT64(0))
        address, owner = self.machine.compile(str(self._module), self._name)
        return _Function(address, len(self._parameters), owner)


class _Function:
    """Code at an address, kept in memory by its owner for as long as this function is."""

    def __init__(self, address: int, count: int, owner: Any) -> None:
        self._owner = owner
        self._call = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * count)(address)

    def __call__(self, *arguments: NDArray[Any] | int) -> int:
        return self._call(*map(_address, arguments))


def _address(argument: NDArray[Any] | int) -> int:
    return argument.ctypes.data if isinstance(argument, np.ndarray) else int(argument)
