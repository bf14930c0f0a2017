# SPDX-License-Identifier: LGPL-3.0-or-later
"""Keys of ``input.json`` as fields of dataclasses: see :class:`Spec`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, get_args, get_origin, get_type_hints

from ..errors import ChargeError

if TYPE_CHECKING:
    from typing import Self  # of Python 3.11

__all__ = ["Check", "Key", "Spec", "at_least", "key", "keys_of", "one_of"]


@dataclass(frozen=True)
class Check:
    """What a value must be.

    Attributes
    ----------
    holds : callable
        Takes a value of the key's type and tells whether it is allowed.
    message : str
        "must be ...".
    """

    holds: Callable[[Any], bool]
    message: str


def one_of(*allowed: str) -> Check:
    """Check that a value is one of a few."""
    return Check(lambda value: value in allowed, "must be one of " + ", ".join(allowed))


def at_least(zero: bool = False) -> Check:
    """Check that a number is positive, or not negative."""
    if zero:
        return Check(lambda value: value >= 0, "must not be negative")
    return Check(lambda value: value > 0, "must be positive")


@dataclass(frozen=True)
class Key:
    """One key of ``input.json``.

    Attributes
    ----------
    name : str
    kind : type or typing annotation
        Of the field; a tuple is a list in ``input.json``.
    default : object
        MISSING where the key must be given, None where nothing stands for it.
    doc : str
        For the user.
    check : Check or None
    alias : tuple of str
        Other names.
    """

    name: str
    kind: object
    default: object
    doc: str
    check: Check | None
    alias: tuple[str, ...]


def key(
    doc: str,
    default: Any = MISSING,
    check: Check | None = None,
    alias: Sequence[str] = (),
    factory: Any = MISSING,
) -> Any:
    """The field of a key: its documentation, default, check and other names.

    Returns
    -------
    dataclasses.Field
        Typed as Any, for it stands where the value will.
    """
    about = {"doc": doc, "check": check, "alias": tuple(alias)}
    return field(default=default, default_factory=factory, metadata=about)


def keys_of(spec: type[Spec]) -> list[Key]:
    """The keys of a specification, in order.

    Parameters
    ----------
    spec : type
        A dataclass derived from :class:`Spec`.

    Returns
    -------
    list of Key
    """
    kinds = get_type_hints(spec)
    return [
        Key(
            f.name,
            kinds[f.name],
            f.default if f.default_factory is MISSING else f.default_factory(),
            **f.metadata,
        )
        for f in fields(spec)
    ]


@dataclass(frozen=True)
class Spec:
    """Base of frozen dataclasses whose fields are made by :func:`key`.

    An instance has values of the right types that pass their checks and go
    together.

    Attributes
    ----------
    where : str
        Path of the keys in ``input.json``, for complaints.
    foreign : tuple of str
        Keys beside ours that are DeePMD-kit's.
    unheeded : tuple of str
        Those of them that would ask for what is not done, unless they are empty.
    later : set of str
        Keys that models of former versions do not have; theirs are the defaults.
    """

    where: ClassVar[str]
    foreign: ClassVar[tuple[str, ...]] = ("type",)
    unheeded: ClassVar[tuple[str, ...]] = ()
    later: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Make a specification of a part of ``input.json``.

        Parameters
        ----------
        given : dict
            Keys and values; what is missing has its default.

        Raises
        ------
        ChargeError
            If a key is unknown, unheeded or missing, or a value is wrong.
        """
        cls.check_heeded(given)
        known = keys_of(cls)
        names = {name: k.name for k in known for name in (k.name, *k.alias)}
        if unknown := sorted(given.keys() - names.keys() - {*cls.foreign, *cls.unheeded}):
            raise ChargeError(
                f"{cls.where}: unknown {', '.join(unknown)}; the keys are {', '.join(names)}"
            )
        values = {names[name]: value for name, value in given.items() if name in names}
        for k in known:
            if k.default is MISSING and k.name not in values:
                raise ChargeError(f"{cls.where}/{k.name} is missing; give it")
        return cls(**values)

    @classmethod
    def check_heeded(cls, given: Mapping[str, Any]) -> None:
        """Raise ChargeError where a key asks for what is not done."""
        for name in cls.unheeded:
            if given.get(name):
                raise ChargeError(
                    f"{cls.where}/{name} does not go with model/type charge, which does nothing of "
                    "the kind; leave it out"
                )

    def __post_init__(self) -> None:
        for k in keys_of(type(self)):
            given = getattr(self, k.name)
            if given is None and k.default is None:
                continue
            try:
                value = _typed(k.kind, given)
            except TypeError:
                raise ChargeError(
                    f"{self.where}/{k.name} {given!r} must be of type {_called(k.kind)}"
                ) from None
            if k.check and not k.check.holds(value):
                raise ChargeError(f"{self.where}/{k.name} {given!r} {k.check.message}")
            object.__setattr__(self, k.name, value)
        self.check_together()

    def check_together(self) -> None:
        """Raise ChargeError where values do not go together."""


def _typed(kind: object, value: Any) -> Any:
    """A value as a field of this type holds it; TypeError if it cannot."""
    if get_origin(kind) is tuple and isinstance(value, (list, tuple)):
        return tuple(_typed(get_args(kind)[0], v) for v in value)
    if isinstance(kind, type) and isinstance(value, kind):
        if isinstance(value, bool) == (kind is bool):
            return value
    elif kind is float and isinstance(value, int):
        return float(_typed(int, value))
    elif get_origin(kind) is not tuple:
        for option in get_args(kind):
            try:
                return _typed(option, value)
            except TypeError:
                pass
    raise TypeError


def _called(kind: object) -> str:
    """The name of a type in ``input.json``."""
    if get_origin(kind) is tuple:
        return f"list[{_called(get_args(kind)[0])}]"
    if isinstance(kind, type):
        return "null" if kind is NoneType else kind.__name__
    return " or ".join(map(_called, get_args(kind)))
