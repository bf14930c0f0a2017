# SPDX-License-Identifier: LGPL-3.0-or-later
r"""A network with attention from latents of the autoencoder to properties.

Maps of channels at the points of the latent, :math:`y_{cp}`, go through blocks

.. math::
    y \leftarrow \mathrm{GELU}(W * y), \qquad
    y_{cp} \leftarrow \sigma\!\left(V_2 \max(0, V_1 \langle y \rangle_p)\right)_c \, y_{cp}, \qquad
    y_{cp} \leftarrow \sigma\!\left(U * [\langle y \rangle_c, \max_c y]\right)_p \, y_{cp},

a convolution and the attention to channels and then to places. Means and maxima over places
go, with further features (of the composition, say), standardised and compressed by arsinh, through
dense layers, each of which adds to the one before, to all properties at once. Targets are
standardised, errors count by Huber's loss, missing targets not at all. The
poses of a compound take turns from epoch to epoch, and their predictions are averaged, as are
those of several members, each with other weights at the start and other compounds to stop by.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import ChargeError
from ..stderr import progress_is_shown
from ..typing import ArrayLike, Floats
from ._attention_network import AttentionSettings, Member, predict, train
from ._eager import eagerly

__all__ = ["AttentionNetwork", "AttentionSettings"]

_VERSION = 1


@dataclass(frozen=True)
class _Scale:
    """What is subtracted from columns, and what they are divided by then."""

    mean: Floats
    width: Floats

    @classmethod
    def of(cls, columns: Floats, axes: tuple[int, ...] = (0,)) -> _Scale:
        width = np.nanstd(columns, axis=axes)
        return cls(np.nanmean(columns, axis=axes), np.where(width > 0.0, width, 1.0))

    def apply(self, columns: Floats) -> Floats:
        return ((columns - self.mean) / self.width).astype(np.float32)


class AttentionNetwork:
    """Several networks from latents and further features to properties.

    Parameters
    ----------
    settings : AttentionSettings, optional

    Attributes
    ----------
    settings : AttentionSettings
    history : list of list of float
        The validation loss of each member after each epoch, in variances of the targets.
    """

    def __init__(self, settings: AttentionSettings | None = None) -> None:
        self.settings = settings or AttentionSettings()
        self.history: list[list[float]] = []
        self._networks: list[Any] = []
        self._scales: list[_Scale] = []  # of latents, further features and targets

    @eagerly
    def fit(
        self,
        latents: ArrayLike,
        extra: ArrayLike | None,
        targets: ArrayLike,
        validation: float = 0.1,
    ) -> AttentionNetwork:
        """Train all members.

        Parameters
        ----------
        latents : array_like, shape (n, poses, c, m, m, m)
            Of :meth:`.Autoencoder.encode`.
        extra : array_like, shape (n, k), or None
            Further features.
        targets : array_like, shape (n, t)
            In any units; NaN where one is missing. Compounds without any are left out.
        validation : float, optional
            The part of the compounds that tells when to stop, drawn anew for each member.

        Returns
        -------
        AttentionNetwork
            This one.

        Raises
        ------
        ChargeError
            If numbers of compounds differ or there are too few, or a target is never there.
        """
        from tqdm import tqdm

        z, features = _check(latents, extra)
        labels: Floats = np.asarray(targets, dtype=np.float64)
        n = len(z)
        if labels.ndim != 2 or len(labels) != n:
            raise ChargeError(f"targets {labels.shape} of {n} compounds: give (n, targets)")
        n_valid = _n_valid(n, validation)
        if not np.isfinite(labels).any(axis=0).all():
            raise ChargeError("a target has no label at all: leave it out")
        labelled = np.isfinite(labels).any(axis=1)
        if not labelled.all():  # others teach nothing, and tell nothing of when to stop
            z, features, labels = z[labelled], features[labelled], labels[labelled]
            n = len(z)
            n_valid = _n_valid(n, validation)
        self._scales = [_Scale.of(z, (0, 1, 2, 3, 4)), _Scale.of(features), _Scale.of(labels)]
        z, features, labels = (
            scale.apply(a) for scale, a in zip(self._scales, (z, features, labels), strict=True)
        )
        features = np.arcsinh(features)
        self._networks, self.history = [], []
        epochs = self.settings.members * self.settings.epochs
        with tqdm(
            desc="attention",
            unit="epoch",
            total=epochs,
            delay=1e-6,
            disable=not progress_is_shown(),
        ) as bar:
            for member in range(self.settings.members):
                rng = np.random.default_rng([self.settings.seed, member])
                order = rng.permutation(n)
                network = self._new(z.shape[-1], features.shape[1], labels.shape[1], member)
                self._networks.append(network)
                parts = order[n_valid:], order[:n_valid]
                self.history.append([])
                for loss in train(network, self.settings, rng, (z, features, labels), parts):
                    self.history[-1].append(loss)
                    bar.update()
        return self

    def predict(self, latents: ArrayLike, extra: ArrayLike | None) -> Floats:
        """Properties (n, t), averaged over poses and members; see :meth:`predict_members`."""
        return self.predict_members(latents, extra).mean(axis=0)

    @eagerly
    def predict_members(self, latents: ArrayLike, extra: ArrayLike | None) -> Floats:
        """Predict properties by each member.

        Parameters
        ----------
        latents : array_like, shape (n, poses, c, m, m, m)
        extra : array_like, shape (n, k), or None

        Returns
        -------
        np.ndarray, shape (members, n, t)
            In the units of the targets, averaged over poses.

        Raises
        ------
        ChargeError
            If it is not trained, or was trained on others: channels or features.
        """
        if not self._networks:
            raise ChargeError("an attention network that is not trained predicts nothing: fit it")
        z, features = _check(latents, extra)
        latent, further, target = self._scales
        if z.shape[-1] != len(latent.mean) or features.shape[1] != len(further.mean):
            raise ChargeError(
                f"{z.shape[-1]} channels and {features.shape[1]} features: this network was trained"
                f" on {len(latent.mean)} and {len(further.mean)}"
            )
        z, features = latent.apply(z), np.arcsinh(further.apply(features))
        found = np.stack([predict(network, z, features) for network in self._networks])
        return found * target.width + target.mean

    @eagerly
    def to_bytes(self) -> bytes:
        """All of it, as a file of arrays (``.npz``) would hold it."""
        if not self._networks:
            raise ChargeError("an attention network that is not trained cannot be kept: fit it")
        told = {"version": _VERSION, "settings": asdict(self.settings), "history": self.history}
        arrays: dict[str, Any] = {"attention": np.array(json.dumps(told))}
        for k, scale in enumerate(self._scales):
            arrays[f"mean{k}"], arrays[f"width{k}"] = scale.mean, scale.width
        for k, network in enumerate(self._networks):
            for j, weights in enumerate(network.get_weights()):
                arrays[f"w{k:02d}{j:03d}"] = weights
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        return file.getvalue()

    @classmethod
    @eagerly
    def from_bytes(cls, content: bytes) -> AttentionNetwork:
        """Make the network of what :meth:`to_bytes` gave.

        Raises
        ------
        ChargeError
            If it is none, or of another version.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                arrays = dict(file)
            told = json.loads(str(arrays["attention"]))
        except Exception:
            raise ChargeError("these bytes are no attention network; train it again") from None
        if told["version"] != _VERSION:
            raise ChargeError(
                f"an attention network of version {told['version']}, this package reads version"
                f" {_VERSION}; train it again"
            )
        network = cls(AttentionSettings(**told["settings"]))
        network.history = told["history"]
        network._scales = [_Scale(arrays[f"mean{k}"], arrays[f"width{k}"]) for k in range(3)]
        n_latent, n_extra, n_targets = (len(scale.mean) for scale in network._scales)
        for member in range(network.settings.members):
            one = network._new(n_latent, n_extra, n_targets, member)
            names = sorted(name for name in arrays if name.startswith(f"w{member:02d}"))
            one.set_weights([arrays[name] for name in names])
            network._networks.append(one)
        return network

    def _new(self, n_latent: int, n_extra: int, n_targets: int, member: int) -> Any:
        """Build one member."""
        return Member(self.settings, member).build(n_latent, n_extra, n_targets)


def _n_valid(n: int, validation: float) -> int:
    """How many of n compounds tell when to stop."""
    n_valid = max(1, round(validation * n))
    if n <= n_valid:
        raise ChargeError(f"{n} compounds to train on and to validate: give more")
    return n_valid


def _check(latents: ArrayLike, extra: ArrayLike | None) -> tuple[Floats, Floats]:
    """Latents (n, poses, m, m, m, c) and further features (n, k)."""
    z = np.asarray(latents)
    if z.ndim != 6 or not len(z):
        raise ChargeError(f"latents are (n, poses, c, m, m, m), not {z.shape}")
    features = np.zeros((len(z), 0)) if extra is None else np.asarray(extra, dtype=np.float64)
    if features.ndim != 2 or len(features) != len(z):
        raise ChargeError(f"features {features.shape} of {len(z)} compounds: give (n, features)")
    if not np.isfinite(features).all():
        raise ChargeError("further features must be finite: leave out compounds without them")
    return np.moveaxis(z, 2, -1), features
