# SPDX-License-Identifier: LGPL-3.0-or-later
"""The model ``charge``: density at the grid points, inert in everything else.

DeepPot and LAMMPS read ``o_atom_energy``, which holds the density at grid
points and zero on real atoms; the energy, forces and virials are zero, so that
the model can stand beside a potential.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deepmd.tf.descriptor.descriptor import Descriptor
from deepmd.tf.env import (
    GLOBAL_ENER_FLOAT_PRECISION,
    GLOBAL_TF_FLOAT_PRECISION,
    MODEL_VERSION,
    tf,
)
from deepmd.tf.fit.fitting import Fitting
from deepmd.tf.model.model import Model
from deepmd.tf.utils.graph import get_tensor_by_name_from_graph

from ...atoms.species import GRID_TYPE
from ...errors import ChargeError
from ...model.info import ModelInfo
from ...model.spec import ModelSpec
from ...saed.table import RadialTable
from ...typing import Floats
from . import mixed_systems as _mixed_systems  # noqa: F401  (registers charge, for mixed types too)
from .electrons import exact_electrons
from .facts import check_validation, training_facts, warn_of_twins
from .frozen import Frozen, known_types
from .loss import ChargeLoss
from .names import graph_name
from .refusals import Refusals
from .saed import Superposition
from .se_cluster import SeCluster
from .se_cluster_gates import Gates
from .starting import check_settings, starting_point
from .statistics import scale_and_fit, solve
from .trainer import (
    set_after_restoring,
    show_without_steps,
    trainer_at_work,
    validation_systems,
)

if TYPE_CHECKING:
    from deepmd.tf.utils.data_system import DeepmdDataSystem
    from deepmd.tf.utils.learning_rate import LearningRateExp
    from deepmd.utils.data import DataRequirementItem
    from deepmd.utils.path import DPPath

__all__ = ["ChargeModelTF"]

# dp shows what its own loggers say
log = logging.getLogger("deepmd.charge")

# Electrons in doubt of an atom that are told: half an electron of a thousand.
_DOUBT = 5e-4


@Model.register("charge")
class ChargeModelTF(Refusals):
    """Density model of one descriptor and one fitting net.

    Parameters
    ----------
    descriptor, fitting_net : dict
        Their arguments, see :mod:`deepmd_charge.model.spec`.
    type_map : list of str
        The elements and the grid type X.
    info : dict
        What a later user must know of the training data, see :class:`.ModelInfo`:
        at first what the user notes; :meth:`data_stat` or :meth:`build` add what
        the data say, and what the model remembers that training goes on from.
    saed : str, optional
        Table of superposed atomic densities, the ``saed.npz`` of ``convert``.
        The network learns the density without them, and the model adds them to
        what the network says; those of density files the user has to add.
    """

    model_type = "ener"

    def __init__(
        self,
        descriptor: dict[str, Any],
        fitting_net: dict[str, Any],
        type_map: list[str] | None = None,
        info: dict[str, Any] | None = None,
        saed: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(type_map=type_map, **kwargs)
        ModelSpec.check_heeded(kwargs)
        self._parts = {"descriptor": descriptor, "fitting_net": fitting_net}
        self.info = info or {}
        self._knows_data = False
        self.saed = saed
        table = RadialTable.load(saed) if saed else None
        self._table = table if table and table.functions else None
        self._assemble(self.type_map)

    def _assemble(self, known: Sequence[str]) -> None:
        """Make the parts of a model that knows these types of the type map.

        Others have no parameters and cost nothing; within the model types are counted without
        them.
        """
        self.spec = ModelSpec.from_dict({"type_map": known, **self._parts})
        self.superposition = Superposition(self._table, known) if self._table else None
        common = {"ntypes": len(known), "type_map": [*known]}
        self.descrpt = Descriptor(
            **self._parts["descriptor"],
            reach=self.superposition.reach if self.superposition else 0.0,
            grid_type=self.spec.grid_type,
            **common,
        )
        if isinstance(self.descrpt, SeCluster) and self.spec.fitting_net.neuron:
            self.descrpt.gates = Gates(self.spec)
        self.fitting = Fitting(**self._parts["fitting_net"], descrpt=self.descrpt, **common)

    def _know(self, names: Sequence[str]) -> None:
        """Have parameters for these types alone, in the order of the type map."""
        known = tuple(name for name in self.type_map if name in names)
        if known != self.spec.type_map:
            self._assemble(known)

    def get_fitting(self) -> Fitting:
        """The fitting net."""
        return self.fitting

    def get_loss(self, loss: dict[str, Any], lr: LearningRateExp) -> ChargeLoss:
        """Make the loss of ``loss`` of an ``input.json``."""
        difference = bool(self.saed) and not self.superposition
        return self.fitting.get_loss(loss, lr, saed=bool(self.saed), difference=difference)

    def get_rcut(self) -> float:
        """How far the model looks, A."""
        return self.descrpt.get_rcut()

    def get_ntypes(self) -> int:
        """Number of types, the grid type among them."""
        return len(self.type_map)

    @property
    def input_requirement(self) -> list[DataRequirementItem]:
        """Nothing is read but what the loss needs."""
        return []

    @classmethod
    def update_sel(
        cls, train_data: DeepmdDataSystem, type_map: list[str] | None, local_jdata: dict[str, Any]
    ) -> tuple[dict[str, Any], float | None]:
        """There is no ``sel`` to find, and what else is to be known does not wait for this.

        ``dp train --skip-neighbor-stat`` leaves it out.
        """
        return local_jdata, None

    def data_stat(self, data: DeepmdDataSystem, stat_file_path: DPPath | None = None) -> None:
        """Take from the data what is known before training: see :mod:`.statistics`.

        Raises
        ------
        ChargeError
            If the data hold no grid point, or too few.
        """
        trainer, _ = trainer_at_work()
        self.check_training(trainer)
        self._check_steps(trainer)
        self._learn_of(data.system_dirs)
        self._know([*self.info["elements"], GRID_TYPE])
        if unseen := [name for name in self.type_map if name not in self.spec.type_map]:
            log.warning(
                "the training data have no atom of %s: the model will refuse structures with them",
                ", ".join(unseen),
            )
        if isinstance(self.descrpt, SeCluster):
            self._solve(trainer, data)
        else:
            scale_and_fit(
                data, self.type_map, self.spec, self.descrpt, self.fitting, bool(self.saed)
            )

    def _learn_of(self, system_dirs: Sequence[str], start: Frozen | None = None) -> None:
        """Note what the training data say, and the model that training goes on from."""
        said = ModelInfo.from_json(self.info)
        # what a run wrote of other data is no word of the user's
        given = {} if said.elements else said.valence
        facts = training_facts(
            system_dirs, self.type_map, self.saed, given, self.descrpt.get_rcut()
        )
        memory = ModelInfo.from_json(facts).noting(said)
        if start is not None:
            memory = memory.after(ModelInfo.from_json(start.info), start.path)
            self._check_refit(memory.elements, facts["elements"], start.path)
        self.info = memory.to_json()
        if validation := validation_systems():
            check_validation(validation, self.type_map, self.info, self.descrpt.get_rcut())
        warn_of_twins(system_dirs, validation, self.type_map)
        self._knows_data = True
        doubts = {e: (z, d) for e, (z, d) in memory.valences.items() if d > _DOUBT}
        if doubts:
            so = "predict --electrons auto will refuse all but small structures"
            if self.spec.descriptor.exact:
                so += ', and electrons "exact" gives structures these, not those of their data'
            log.warning(
                "the electrons of the training data are not those of neutral cells (%s): %s",
                ", ".join(f"{e} {z:g} +- {d:.2g}" for e, (z, d) in doubts.items()),
                so,
            )

    def _go_on(self) -> None:
        """Take over what the model remembers that training goes on from."""
        found = starting_point()
        if found is None:
            return
        start, system_dirs = found
        self._check_types(start.type_map)
        check_settings(start, self._parts)
        self._know(start.known_types)
        if self.superposition:
            self.superposition.check(start.array)
        elif start.saed:
            raise ChargeError(
                f"{start.path}: carries a table of superposed atomic densities; name it in"
                " model/saed"
            )
        if ModelInfo.from_json(start.info).content is None:
            log.warning(
                "%s does not remember its training data; what is known from now on is what these "
                "data say",
                start.path,
            )
        self._learn_of(system_dirs, start)

    def _check_refit(self, known: Sequence[str], there: Sequence[str], path: str) -> None:
        """Refuse a new fit of ``se_cluster`` that would forget an element of the model."""
        lacking = [name for name in known if name not in there]
        if lacking and isinstance(self.descrpt, SeCluster) and self.descrpt.spec.refit:
            raise ChargeError(
                f"{path}: knows {', '.join(lacking)}, of which the training data have no atom to "
                "refit; add data that do, leave out model/descriptor/refit, or train from the "
                "beginning"
            )

    def _check_steps(self, trainer: Any) -> None:
        """Refuse steps of training where nothing is trained."""
        if not isinstance(self.descrpt, SeCluster) or trainer is None:
            return
        net = self.spec.fitting_net
        if trainer.stop_batch > 0 and not (net.neuron and any(net.trained)):
            what = "trainable false" if net.neuron else "neuron []"
            raise ChargeError(
                f"nothing is trained with se_cluster and {what}: set training/numb_steps to 0"
            )

    def _keep_or_refit(self, trainer: Any, data: DeepmdDataSystem) -> None:
        """Keep the fit of the model that training goes on from, unless a new one is asked for."""
        if not isinstance(self.descrpt, SeCluster):
            return
        if not self.descrpt.spec.refit:
            log.info(
                "the least-squares fit of the model that training starts from is kept%s",
                ", and its net goes on" if self.descrpt.gates else "",
            )
            return
        if self.descrpt.gates and trainer.run_opt.init_mode == "restart":
            log.warning(
                "a new fit is asked for (model/descriptor/refit), and the net is as new, too, "
                "though steps are counted on; leave refit out to go on after an interruption"
            )
        self._solve(trainer, data)
        set_after_restoring(trainer, [*self.descrpt.parts, self.fitting.parameters])

    def _solve(self, trainer: Any, data: DeepmdDataSystem) -> None:
        """Fit to the data what is linear."""
        electrons = self._electrons()
        solve(
            data, self.type_map, self.spec, self.descrpt, self.fitting, bool(self.saed), electrons
        )
        if self.spec.fitting_net.neuron and trainer is not None and trainer.stop_batch == 0:
            log.warning(
                "training/numb_steps is 0: the net of fitting_net/neuron is not trained; give "
                "steps, or neuron []"
            )

    def _electrons(self) -> Floats | None:
        """What an atom of each element holds of what is learnt, where that is to be exact."""
        if not isinstance(self.descrpt, SeCluster) or not self.descrpt.spec.exact:
            return None
        memory = ModelInfo.from_json(self.info)
        return exact_electrons(self.spec, memory, self._table, bool(self.saed))

    def _check_types(self, type_map: list[str]) -> None:
        if type_map != self.type_map:
            raise ChargeError(
                f"the initial model has the type_map {type_map}; give model/type_map the same "
                f"order, not {self.type_map}"
            )

    def build(
        self,
        coord_: tf.Tensor,
        atype_: tf.Tensor,
        natoms: tf.Tensor,
        box: tf.Tensor,
        mesh: tf.Tensor,
        input_dict: dict[str, Any],
        frz_model: str | None = None,
        ckpt_meta: str | None = None,
        suffix: str = "",
        reuse: bool | None = None,
    ) -> dict[str, tf.Tensor]:
        """Build all that DeePMD-kit asks of an energy model, and the density at the grid points."""
        if not self._knows_data:  # no data_stat: training goes on from another model
            self._go_on()
        trainer, data = trainer_at_work()
        self.check_training(trainer)
        self._check_steps(trainer)
        if trainer is not None and trainer.stop_batch == 0:
            show_without_steps(trainer)
        if trainer is not None and trainer.run_opt.init_mode != "init_from_scratch":
            self._keep_or_refit(trainer, data)
        known = self._build_types(atype_)
        with tf.variable_scope("descrpt_attr" + suffix, reuse=reuse):
            tf.constant(self.get_rcut(), name="rcut", dtype=GLOBAL_TF_FLOAT_PRECISION)
            tf.constant(self.get_ntypes(), name="ntypes", dtype=tf.int32)
        with tf.variable_scope("model_attr" + suffix, reuse=reuse):
            tf.constant(" ".join(self.type_map), name="tmap", dtype=tf.string)
            tf.constant(self.model_type, name="model_type", dtype=tf.string)
            tf.constant(MODEL_VERSION, name="model_version", dtype=tf.string)
            info = tf.constant(json.dumps(self.info), name="charge_info")
        features = self.descrpt.build(
            coord_, known, natoms, box, mesh, input_dict, suffix=suffix, reuse=reuse
        )
        tf.identity(features, name="o_descriptor" + suffix)
        density = self.fitting.build(features, reuse=reuse, suffix=suffix)
        if self.superposition:
            added = self.superposition.build(
                self.descrpt.pairs, self.descrpt.pair_types, self.descrpt.n_centers, suffix
            )
            density += tf.cast(added, density.dtype)
        index = self.descrpt.center_index
        nframes = tf.size(coord_) // (3 * natoms[1])
        novelty = self.descrpt.build_novelty(suffix)
        residual = self.fitting.parameters["fitting.residual"]
        # freezing keeps what the outputs depend on, so these go with them
        with tf.control_dependencies([info, novelty, tf.identity(residual)]):
            atom_ener = tf.scatter_nd(index, density, tf.cast([nframes, natoms[0]], tf.int64))
        atom_ener = tf.identity(atom_ener, name="o_atom_energy" + suffix)
        nall = natoms[1]

        def zeros(name: str, width: int | tf.Tensor) -> tf.Tensor:
            return tf.zeros([nframes, width], GLOBAL_TF_FLOAT_PRECISION, name=name + suffix)

        energy = tf.zeros([nframes], GLOBAL_ENER_FLOAT_PRECISION, name="o_energy" + suffix)
        return {
            "energy": energy,
            "force": zeros("o_force", 3 * nall),
            "virial": zeros("o_virial", 9),
            "atom_virial": zeros("o_atom_virial", 9 * nall),
            "atom_ener": atom_ener,
            "density": density,
            "center_index": index,
            "residual": residual,
            "coord": coord_,
            "atype": atype_,
        }

    def _build_types(self, atype: tf.Tensor) -> tf.Tensor:
        """Build the types as the model counts them; atoms of types that it lacks are refused."""
        known = list(self.spec.type_map)
        if known == self.type_map:
            return atype
        unknown = len(known)
        places = [known.index(name) if name in known else unknown for name in self.type_map]
        types = tf.gather(tf.constant([-1, *places], dtype=tf.int32), atype + 1)
        names = " ".join(name for name in known if name != GRID_TYPE)
        # LAMMPS gives (1, atoms) where (atoms * frames,) is declared
        seen = tf.debugging.Assert(
            tf.reduce_all(tf.less(tf.reshape(types, [-1]), unknown)),
            [f"the charge model has seen no other elements than {names}"],
        )
        with tf.control_dependencies([seen]):
            return tf.identity(types)

    def init_variables(
        self,
        graph: tf.Graph,
        graph_def: tf.GraphDef,
        model_type: str = "original_model",
        suffix: str = "",
    ) -> None:
        """Take the parameters of a frozen model, which must have the same types and table."""
        types = get_tensor_by_name_from_graph(graph, "model_attr/tmap")
        self._check_types(types.decode().split())
        self._know(_known_types(graph, suffix, self.type_map))
        if self.superposition:
            self.superposition.load(graph, suffix)
        self.descrpt.init_variables(graph, graph_def, suffix)
        self.fitting.init_variables(graph, graph_def, suffix)


def _known_types(graph: tf.Graph, suffix: str, type_map: list[str]) -> list[str]:
    """The types that a frozen model has parameters for."""
    info = get_tensor_by_name_from_graph(graph, "model_attr/charge_info")
    range_of = graph_name("neighbor_range.low", (), suffix)
    n_elements = len(get_tensor_by_name_from_graph(graph, range_of))
    return known_types(type_map, json.loads(info), n_elements)
