"""An item's raw modality vectors become one vector, of unit length where nothing is guessed."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from domain.errors import PermanentError, RejectedError
from domain.modality_gates import ModalityGates
from domain.vectors import BlockMap, Matrix, Vector
from encoders.attributes import ATTRIBUTES, AttributeBlock
from encoders.attributes.vocabulary import (
    AttributeMap,
    Attributes,
    Hashed,
    Rows,
    Vocabulary,
    fit_vocabulary,
)
from encoders.fusion import files
from encoders.fusion.blocks import Double, check_dims, check_weights, project, stack
from encoders.fusion.imputation import CoMoments, Imputation, learn
from encoders.fusion.statistics import Moments, fitted_block, passthrough_block

_CHUNK = 2048
_FORMULA = "centre, soft-whiten, unit, weight, impute, unit: 1"
"""Part of every version: a change of the arithmetic is a change of the fusion."""

_GUESSES = "beside blocks of unchanged length: 2"
"""Part of the version where there are imputations: what follows from them alone."""


def collection_fingerprint(encoders_fingerprint: str, fusion_version: str) -> str:
    """12 hex digits that name the vector space of a collection: encoders and fusion."""
    text = f"{encoders_fingerprint}\n{fusion_version}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class Fusion:
    """Centre, soft-whiten, L2-normalise and weight each block, impute, concatenate.

    The whole is divided by the root of the sum of squared weights of the blocks that are filled, by
    a vector or by a guess. So a block that is present has one length in all items that have the
    same blocks filled, whether a guess stands beside it or the true vector, and a guess shortens
    the whole by what it is unsure of.

    Immutable, safe to share between threads.

    Attributes:
        version: "passthrough-HASH" while no block has statistics, else "fit-HASH", or "gated-HASH"
            with gates.
        blocks: one map per block, in the order of the fused vector.
        imputations: the ridge maps that stand in for missing blocks.
        items: per block, how many vectors its statistics came from; 0 for a pass-through.
        dim: length of the fused vector.
        attributes: what gives the raw vectors of the block "attributes", None without that block.
        gates: how much each block of an item counts, learned from interactions; None: as weighted.
    """

    def __init__(
        self,
        blocks: Sequence[BlockMap],
        imputations: Sequence[Imputation] = (),
        items: Mapping[str, int] | None = None,
        attribute_map: AttributeMap | None = None,
        gates: ModalityGates | None = None,
    ) -> None:
        """
        Args:
            attribute_map: hashing to the block's raw length where None.

        Raises:
            RejectedError: gates for other blocks.
        """
        if gates is not None:
            gates.check(blocks)
        self.gates = gates
        self.blocks = tuple(blocks)
        self.imputations = tuple(imputations)
        self.items = dict(items or {block.name: 0 for block in blocks})
        self.dim = self.blocks[-1].stop
        self._by_name = {block.name: block for block in self.blocks}
        self._plans: dict[frozenset[str], dict[str, Imputation]] = {}
        self.attributes: AttributeBlock | None = None
        if (block := self._by_name.get(ATTRIBUTES)) is not None:
            self.attributes = AttributeBlock(attribute_map or Hashed(len(block.mean)), block)
        self.version = self._version()

    # ------------------------------------------------------------------ making one

    @classmethod
    def passthrough(cls, dims: Mapping[str, int], weights: Mapping[str, float]) -> Fusion:
        """The fusion of an empty catalogue: every block only L2-normalised and weighted.

        Args:
            dims: length of each block's raw vectors; its order is the order of the blocks. With
                "attributes" among them, `attributes` hashes to that length.
            weights: of blocks; their defaults where none is given.

        Raises:
            RejectedError: no blocks, or a weight that is unknown or not above 0.
        """
        check_dims(dims)
        blocks, start = [], 0
        for name, weight in check_weights(weights, dims).items():
            blocks.append(passthrough_block(name, dims[name], weight, start))
            start = blocks[-1].stop
        return cls(blocks)

    @classmethod
    def fit(
        cls,
        samples: Sequence[Mapping[str, Vector]],
        dims: Mapping[str, int],
        *,
        block_dim: int,
        weights: Mapping[str, float],
        query_samples: Mapping[str, Matrix] | None = None,
        attributes: Sequence[Attributes] | None = None,
    ) -> Fusion:
        """Statistics of a catalogue. Reads `samples` twice, in chunks; memory does not grow.

        A block that fewer than 16 samples carry, or that never varies, passes through.

        Args:
            samples: raw vectors of items: {block: [raw_dim] float32}.
            dims: length of each block's raw vectors; its order is the order of the blocks.
            block_dim: a fitted block is reduced to at most this.
            weights: of blocks; their defaults where none is given.
            query_samples: embeddings of typical queries by the tower that makes them, named
                BLOCK_TOWER: {"image_text": [n, image raw_dim]}; their mean is what centres a
                query of that tower.
            attributes: of the same items, {} where one has none. The block "attributes" then has
                the vocabulary of these items; it hashes to dims["attributes"] (block_dim where
                that is not given) if they are too few or all alike.

        Raises:
            RejectedError: dims, block_dim, weights, query_samples or attributes that do not fit
                together.
            PermanentError: a sample of wrong shape, zero, NaN or infinite.
        """
        if block_dim < 1:
            raise RejectedError(f"block_dim is {block_dim}", field="FIRSTLIGHT_FUSION_BLOCK_DIM")
        lengths = dict(dims)
        learned = None
        if attributes is not None:
            if len(attributes) != len(samples):
                raise RejectedError(
                    f"{len(attributes)} attributes of {len(samples)} samples", field=ATTRIBUTES
                )
            lengths.setdefault(ATTRIBUTES, block_dim)
            learned = fit_vocabulary(attributes, block_dim)
        check_dims(lengths)
        dims = lengths | ({ATTRIBUTES: learned[0].dim} if learned else {})
        rows = learned[1] if learned else None
        sums = {name: Moments(dim) for name, dim in dims.items()}
        for present in _chunks(samples, dims, rows):
            for name, raw in present.items():
                sums[name].add(raw)
        blocks: list[BlockMap] = []
        items = dict.fromkeys(dims, 0)
        start = 0
        means = _query_means(query_samples or {}, dims)
        for name, weight in check_weights(weights, dims).items():
            fitted = fitted_block(sums[name], name, block_dim, weight, start)
            if fitted is None:
                blocks.append(passthrough_block(name, lengths[name], weight, start))
            else:
                items[name] = sums[name].count
                blocks.append(replace(fitted, query_means=means.get(name, {})))
            start = blocks[-1].stop
        fused_dims = {block.name: block.dim for block in blocks if items[block.name]}
        together = CoMoments(fused_dims)
        by_name = {block.name: block for block in blocks}
        fitted_dims = {name: dims[name] for name in fused_dims}
        for present in _chunks(samples, fitted_dims, rows, exact=True):
            together.add({name: project(by_name[name], raw) for name, raw in present.items()})
        vocabulary = learned[0] if learned and items[ATTRIBUTES] else None
        return cls(blocks, learn(together, fused_dims), items, vocabulary)

    def gated(self, gates: ModalityGates | None) -> Fusion:
        """The same statistics with other gates, or with none."""
        if gates is self.gates:
            return self
        return Fusion(self.blocks, self.imputations, self.items, self._vocabulary(), gates)

    # ------------------------------------------------------------------ using it

    def fuse(self, vectors: Mapping[str, Vector]) -> Vector:
        """[dim] float32; see `fuse_many`."""
        row: Vector = self.fuse_many([vectors])[0]
        return row

    def fuse_many(self, items: Sequence[Mapping[str, Vector]]) -> Matrix:
        """Fused vectors of items, in order.

        A missing block is imputed where a map for it was learned, else left out and the rest
        renormalised.

        Args:
            items: raw vectors {block: [raw_dim] float32}; at least one block each.

        Returns:
            [n, dim] float32, finite, never zero; unit norm, or below where a block is imputed.

        Raises:
            PermanentError: an item without a vector, of an unknown block, or with a vector of
                wrong shape, zero, NaN or infinite.
        """
        fused = np.empty((len(items), self.dim), dtype=np.float32)
        groups: dict[frozenset[str], list[int]] = defaultdict(list)
        for position, vectors in enumerate(items):
            groups[frozenset(vectors)].append(position)
        for present, positions in groups.items():
            self._check(present)
            raw = {
                block.name: stack(
                    block.name, len(block.mean), [items[i][block.name] for i in positions]
                )
                for block in self.blocks
                if block.name in present
            }
            fused[positions] = self._fuse(raw)
        return fused if self.gates is None else self.gates.apply(self.blocks, fused)

    def with_attributes(
        self, vectors: Sequence[Mapping[str, Vector]], attributes: Sequence[Attributes]
    ) -> list[Mapping[str, Vector]]:
        """Raw vectors of items, with that of the attributes block where one is known.

        It is derived and never stored: every re-fusion derives it anew.

        Args:
            vectors: {modality: raw vector} of each item.
            attributes: of the same items.
        """
        if self.attributes is None:
            return list(vectors)
        return _joined(vectors, self.attributes.encode(attributes))

    def _fuse(self, raw: Mapping[str, Matrix]) -> Double:
        units = {
            name: project(self._by_name[name], rows, identity=not self.items[name])
            for name, rows in raw.items()
        }
        count = len(next(iter(units.values())))
        guesses = {
            name: imputation.predict(units)
            for name, imputation in self._plan(frozenset(units)).items()
        }
        filled = {**units, **guesses}
        top = max(self._by_name[name].weight for name in filled)
        shares = {name: self._by_name[name].weight / top for name in filled}
        whole = np.sqrt(sum(share**2 for share in shares.values()))
        joined = np.zeros((count, self.dim))
        for name, rows in filled.items():
            block = self._by_name[name]
            joined[:, block.start : block.stop] = rows * (shares[name] / whole)
        return joined

    def _plan(self, present: frozenset[str]) -> dict[str, Imputation]:
        """For every block that is missing and can be imputed, the map that predicts it best."""
        plan = self._plans.get(present)
        if plan is None:
            plan = {}
            for imputation in sorted(self.imputations, key=lambda i: i.gain):
                if imputation.target not in present and present.issuperset(imputation.sources):
                    plan[imputation.target] = imputation
            self._plans[present] = plan
        return plan

    def _check(self, present: frozenset[str]) -> None:
        if not present:
            raise PermanentError("no modality is left to make a vector from")
        unknown = sorted(present - set(self._by_name))
        if unknown:
            raise PermanentError(
                f"the fusion has no block {unknown[0]!r}",
                remedy=f"its blocks are {', '.join(self._by_name)}",
            )

    # ------------------------------------------------------------------ keeping it

    def save(self, folder: Path) -> None:
        """Write fusion.json and fusion.safetensors into `folder`, made if absent."""
        learned = files.Learned(self.imputations, self._vocabulary(), self.gates)
        files.save(folder, self.version, self.blocks, self.items, learned)

    @classmethod
    def load(cls, folder: Path) -> Fusion:
        """What `save` wrote.

        Raises:
            RejectedError: files are missing, of wrong shape, not finite, or not what was saved.
        """
        version, blocks, items, learned = files.load(folder)
        fusion = cls(blocks, learned.imputations, items, learned.vocabulary, learned.gates)
        if fusion.version != version:
            raise RejectedError(
                f"the fusion in {folder} says {version} but its content is {fusion.version}",
                remedy="restore the folder or fit a new fusion",
            )
        return fusion

    def _vocabulary(self) -> Vocabulary | None:
        mapping = self.attributes.mapping if self.attributes is not None else None
        return mapping if isinstance(mapping, Vocabulary) else None

    def _version(self) -> str:
        layout = [
            [b.name, len(b.mean), b.dim, b.weight, bool(self.items[b.name])] for b in self.blocks
        ]
        digest = hashlib.sha256(json.dumps([_FORMULA, layout]).encode())
        for block in self.blocks:
            if self.items[block.name]:
                digest.update(block.mean.tobytes())
                digest.update(np.ascontiguousarray(block.projection).tobytes())
        for imputation in self.imputations:
            digest.update(json.dumps([_GUESSES, imputation.target, imputation.sources]).encode())
            digest.update(np.ascontiguousarray(imputation.matrix).tobytes())
        if self.attributes is not None:
            digest.update(self.attributes.mapping.digest())
        kind = "fit" if any(self.items.values()) else "passthrough"
        if self.gates is not None:
            kind = "gated"
            digest.update(np.ascontiguousarray(self.gates.weights).tobytes())
        return f"{kind}-{digest.hexdigest()[:12]}"


def _query_means(
    samples: Mapping[str, Matrix], dims: Mapping[str, int]
) -> dict[str, dict[str, Vector]]:
    means: dict[str, dict[str, Vector]] = defaultdict(dict)
    for tower, rows in samples.items():
        block = tower.partition("_")[0]
        if block not in dims or rows.ndim != 2 or rows.shape[1] != dims[block]:
            raise RejectedError(
                f"query samples {tower!r} have shape {rows.shape}",
                remedy="name them BLOCK_TOWER and give them the block's raw length",
            )
        if not len(rows):
            continue
        if not np.isfinite(rows).all():
            raise RejectedError(f"query samples {tower!r} are not finite")
        means[block][tower] = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    return means


def _chunks(
    samples: Sequence[Mapping[str, Vector]],
    dims: Mapping[str, int],
    attributes: Rows | None,
    *,
    exact: bool = False,
) -> Iterator[dict[str, Matrix]]:
    """Raw vectors by block, chunk by chunk; `exact` keeps items with different blocks apart."""
    for start in range(0, len(samples), _CHUNK):
        chunk = samples[start : start + _CHUNK]
        if attributes is not None:
            chunk = _joined(chunk, attributes.vectors(start, start + _CHUNK))
        for group in _by_presence(chunk, dims) if exact else [chunk]:
            rows = {n: [item[n] for item in group if n in item] for n in dims}
            yield {n: stack(n, dims[n], found) for n, found in rows.items() if found}


def _joined(
    vectors: Sequence[Mapping[str, Vector]], attributes: Sequence[Vector | None]
) -> list[Mapping[str, Vector]]:
    """Raw vectors of items, with that of their attributes where there is one."""
    return [
        {**present, ATTRIBUTES: vector} if vector is not None else present
        for present, vector in zip(vectors, attributes, strict=True)
    ]


def _by_presence(
    items: Iterable[Mapping[str, Vector]], dims: Mapping[str, int]
) -> Iterable[list[Mapping[str, Vector]]]:
    groups: dict[frozenset[str], list[Mapping[str, Vector]]] = defaultdict(list)
    for item in items:
        groups[frozenset(item.keys() & dims.keys())].append(item)
    return groups.values()
