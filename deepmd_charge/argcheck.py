# SPDX-License-Identifier: LGPL-3.0-or-later
"""The arguments of ``input.json``; shown by ``dp doc-train-input``.

This module does not import TensorFlow: DeePMD-kit loads it for its
documentation and input checks in every backend.
"""

from dargs import Argument
from deepmd.utils.argcheck import (
    descrpt_args_plugin,
    descrpt_variant_type_args,
    fitting_args_plugin,
    fitting_variant_type_args,
    loss_args_plugin,
    model_args_plugin,
)

from .kernels.coupling import TRIPLES
from .kernels.harmonics import LMAX

_TF = "(Supported Backend: TensorFlow) "


def _choice(allowed):
    return {
        "extra_check": lambda value: value in allowed,
        "extra_check_errmsg": "must be one of " + ", ".join(allowed),
    }


def _positive(zero=False):
    return {
        "extra_check": lambda value: value >= 0 if zero else value > 0,
        "extra_check_errmsg": "must not be negative" if zero else "must be positive",
    }


def _precision():
    return Argument(
        "precision",
        str,
        optional=True,
        default="default",
        doc="The precision of the parameters and of all that follows the distances: "
        '"float64", "float32"; "default" is "float32".',
        extra_check=lambda value: value in ("default", "float32", "float64"),
        extra_check_errmsg='must be "default", "float32" or "float64"',
    )


def _activation(default):
    return Argument(
        "activation_function",
        str,
        optional=True,
        default=default,
        doc='The activation function of the layers, a name that DeePMD-kit knows: "silu", "tanh", ...',
    )


def _seed():
    return Argument(
        "seed", [int, None], optional=True, doc="Seed of the initial parameters."
    )


@descrpt_args_plugin.register("se_charge", doc=_TF)
def se_charge_args():
    """Arguments of the descriptor ``se_charge``."""
    return [
        Argument(
            "rcut", float, doc="The cutoff radius in angstrom.", **_positive()
        ),
        Argument(
            "radial",
            str,
            optional=True,
            default="bessel",
            doc='The radial functions: "bessel" (spherical Bessel functions of order zero), "chebyshev" '
            "(polynomials on an axis that resolves the surroundings of a nucleus more finely), or "
            '"embedding": a network of the weighted inverse distance, with which the descriptor is the '
            "DeepPot-SE one of the Deep Charge paper.",
            **_choice(["bessel", "chebyshev", "embedding"]),
        ),
        Argument(
            "n_radial",
            int,
            optional=True,
            default=24,
            doc="The number of radial functions for each element. Not used by the embedding.",
            **_positive(),
        ),
        Argument(
            "core",
            float,
            optional=True,
            default=0.5,
            doc='The length in angstrom below which "chebyshev" stops refining its axis.',
            **_positive(),
        ),
        Argument(
            "lmax",
            int,
            optional=True,
            default=4,
            doc="The largest l of the spherical harmonics, 0 to 6. The paper's descriptor has 1.",
            extra_check=lambda value: 0 <= value <= LMAX,
            extra_check_errmsg=f"must lie between 0 and {LMAX}",
        ),
        Argument(
            "n_channel",
            int,
            optional=True,
            default=16,
            doc="The number of mixed radial channels for each l. The embedding has as many as its last layer.",
            **_positive(),
        ),
        Argument(
            "axis_neuron",
            int,
            optional=True,
            default=4,
            doc="The number of channels with which every channel is multiplied; at most the number of channels.",
            **_positive(),
        ),
        Argument(
            "triples",
            list[list[int]],
            optional=True,
            default=[],
            doc="Triples of l, such as [[1, 1, 2], [2, 2, 2], [1, 2, 3]], for which products of three moments are added "
            "to those of two: better on disordered structures, at some cost. Each needs an even sum, no l of zero, "
            "and no l above the sum of the two others. Not used by the embedding.",
            extra_check=lambda value: all(tuple(sorted(t)) in TRIPLES for t in value),
            extra_check_errmsg=f"must hold triples of even sum, 0 < l <= {LMAX}, none above the sum of the two others",
        ),
        Argument(
            "n_triple",
            int,
            optional=True,
            default=8,
            doc="The number of channels that take part in triples.",
            **_positive(),
        ),
        Argument(
            "eps",
            float,
            optional=True,
            default=0.5,
            doc="The length in angstrom that keeps directions, and 1/r of the embedding, finite and smooth on a "
            "nucleus: 1/r becomes 1/sqrt(r^2 + eps^2).",
            **_positive(),
        ),
        Argument(
            "rcut_smth",
            float,
            optional=True,
            default=0.5,
            doc="Where the fifth-order switching function of the embedding begins, in angstrom. Not used "
            "by the other radial functions, whose cutoff is (1 - r^2/rcut^2)^3.",
            **_positive(zero=True),
        ),
        Argument(
            "neuron",
            list[int],
            optional=True,
            default=[20, 40, 80],
            doc="The layers of the embedding network.",
            extra_check=lambda value: len(value) > 0 and min(value) > 0,
            extra_check_errmsg="must be a list of positive numbers",
        ),
        _activation("tanh"),
        _precision(),
        Argument(
            "trainable",
            bool,
            optional=True,
            default=True,
            doc="Whether the parameters of the descriptor are trained.",
        ),
        _seed(),
    ]


@fitting_args_plugin.register("charge", doc=_TF)
def charge_fitting_args():
    """Arguments of the fitting net ``charge``."""
    return [
        Argument(
            "neuron",
            list[int],
            optional=True,
            default=[64, 64, 64],
            alias=["n_neuron"],
            doc="The hidden layers of the fitting net.",
            extra_check=lambda value: len(value) > 0 and min(value) > 0,
            extra_check_errmsg="must be a list of positive numbers",
        ),
        _activation("silu"),
        Argument(
            "resnet",
            bool,
            optional=True,
            default=True,
            doc="Whether a layer as wide as its input, or twice as wide, adds its input to its output.",
        ),
        _precision(),
        Argument(
            "trainable",
            [list[bool], bool],
            optional=True,
            default=True,
            doc="Whether the layers are trained: one value, or one for each hidden layer and the output layer.",
        ),
        _seed(),
    ]


@loss_args_plugin.register("charge", doc=_TF)
def charge_loss_args():
    """Arguments of the loss ``charge``."""
    return [
        Argument(
            "loss_func",
            str,
            optional=True,
            default="mse",
            doc='What is minimised over the grid points: "mse" (squares), "mae" (absolute values), "huber".',
            **_choice(["mse", "mae", "huber"]),
        ),
        Argument(
            "huber_delta",
            float,
            optional=True,
            default=0.02,
            doc='Where "huber" turns from square to linear, in units of the standard deviation that '
            "the pair-additive fit leaves.",
            **_positive(),
        ),
        Argument(
            "weight_decay",
            float,
            optional=True,
            default=0.0,
            doc="Adds this times half the sum of the squares of all trained parameters to the loss: "
            "less overfitting to few structures. 1e-4 to 1e-3 is a sensible range with huber.",
            **_positive(zero=True),
        ),
    ]


@model_args_plugin.register("charge", doc=_TF)
def charge_model_args():
    """Arguments of the model type ``charge``."""
    return Argument(
        "charge",
        dict,
        [
            Argument(
                "descriptor",
                dict,
                [],
                [descrpt_variant_type_args()],
                doc="The descriptor of the surroundings of a grid point: se_charge.",
            ),
            Argument(
                "fitting_net",
                dict,
                [],
                [fitting_variant_type_args()],
                doc="The fitting net: charge.",
            ),
            Argument(
                "saed",
                str,
                optional=True,
                doc="The saed.npz that `deepmd-charge convert --saed` wrote beside the data: the network learns the "
                "density without the superposed atomic densities, and the model adds them again.",
            ),
            Argument(
                "info",
                dict,
                optional=True,
                default={},
                doc="Notes that go into the model. Elements, valences, grid spacing and file kind of the training data "
                "are added to it; what these leave open can be said here (valence, quantity, kind, grid_spacing), and "
                "must not contradict them.",
            ),
        ],
        doc=_TF + "The electron density at grid points, which are atoms of type X.",
    )
