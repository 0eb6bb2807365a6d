"""Molecules with measured properties: ogbg-molpcba through TFDS, or prepared arrays."""

from __future__ import annotations

import functools
import os

import numpy as np

from recipes.datasets.folder import VARIABLE, prepared_arrays
from recipes.datasets.graphs import GraphData, Graphs, graph_data
from recipes.datasets.prepared import prepared_builder
from recipes.datasets.ragged import Ragged
from recipes.datasets.split import Split

MOLECULES = "graphs/molecules.npz"
_ARRAYS = ("atoms", "bonds", "atom_features", "edges", "y", "scaffold_split", "random_split")
# Properties with fewer labels are left out; of each other, three thresholds.
_FEWEST, _QUANTILES = 600, (0.25, 0.5, 0.75)


def molecules(split: Split, *, scaffolds: bool = True) -> GraphData:
    """Loads 17,970 molecules with up to ten measured properties, as 24 yes-or-no tasks.

    A task asks whether a property is above the 25, 50 or 75 % quantile of the training molecules;
    eight properties have enough labels. Most labels are not known, as in ogbg-molpcba, whose atom
    features these are.

    The file is `graphs/molecules.npz` in the folder that KERAS_SAM_DATA names, an `np.savez` of

    - `atoms`, `bonds`: how many each molecule has, integers (molecules,);
    - `atom_features` (all atoms, 9), `edges` (all bonds, 2): those of the first molecule, then the
      second's, ...; an edge is two atoms, numbered from 0 within their molecule;
    - `y`: measured properties, float32 (molecules, properties), NaN where one is not known;
    - `scaffold_split`, `random_split`: 0 training, 1 validation, 2 test, (molecules,).

    Args:
        split: how to split and batch them; validation molecules come from those that the file
            keeps for it.
        scaffolds: whether the file's split by scaffolds is taken (test molecules are of other
            kinds), or its random one.

    Returns:
        The `GraphData`.

    Raises:
        ValueError: an argument is outside of its range; the file is not there or damaged.

    Example:

    ```python
    data = molecules(Split(batch_size=64, seed=0))
    ```

    Sources: AqSolDB (Sorkun et al. 2019), Bradley's melting points, MoleculeNet's lipophilicity,
    Deep4Chem (Joung et al. 2020), as the Python package D4CMPP collects them.
    """
    train, validation, test = _read_molecules(os.environ.get(VARIABLE), scaffolds)
    return graph_data("molecules", train, validation, test, split)


def molpcba(split: Split, *, download: bool = True) -> GraphData:
    """Loads ogbg-molpcba: 437,929 molecules, 128 assays, split by scaffolds.

    Args:
        split: how to split and batch them; validation molecules come from the source's split.
        download: whether TFDS may download what is not prepared.

    Returns:
        The `GraphData`.

    Raises:
        ValueError: an argument is outside of its range; the data are not there.

    Example:

    ```python
    data = molpcba(Split(batch_size=256, seed=0))
    ```

    Source: Hu et al., "Open Graph Benchmark", NeurIPS 2020; TFDS `ogbg_molpcba`.
    """
    builder = prepared_builder("ogbg_molpcba", download=download)
    train, validation, test = _read_molpcba(str(builder.data_dir))
    return graph_data("molpcba", train, validation, test, split)


def above_quantiles(values: np.ndarray, training: np.ndarray) -> np.ndarray:
    """From measured properties to yes-or-no tasks: above a quantile of the training examples?

    Args:
        values: properties, (examples, properties), NaN where one was not measured.
        training: which examples are for training, bool (examples,).

    Returns:
        0, 1 or NaN, float32 (examples, tasks): for each property with at least 600 values the
        quantiles 25, 50 and 75 %.

    Raises:
        ValueError: no property has as many.
    """
    tasks = []
    for column in values.T:
        if (~np.isnan(column)).sum() < _FEWEST:
            continue
        known = column[training & ~np.isnan(column)]
        for threshold in np.quantile(known, _QUANTILES):
            tasks.append(np.where(np.isnan(column), np.nan, column > threshold))
    if not tasks:
        raise ValueError(
            f"Molecules must have at least {_FEWEST} values of some property. "
            f"Received: {values.shape[1]} properties, none with as many"
        )
    return np.stack(tasks, axis=1).astype(np.float32)


@functools.lru_cache(maxsize=2)
def _read_molecules(folder: str | None, scaffolds: bool) -> tuple[Graphs, Graphs, Graphs]:
    arrays = prepared_arrays(MOLECULES, _ARRAYS, "The molecules")
    sets = arrays["scaffold_split" if scaffolds else "random_split"]
    whole = Graphs(
        Ragged(arrays["atom_features"].astype(np.float32), arrays["atoms"].astype(np.int64)),
        Ragged(arrays["edges"], arrays["bonds"].astype(np.int64)),
        above_quantiles(arrays["y"], sets == 0),
    )
    train, validation, test = (whole.take(np.flatnonzero(sets == index)) for index in range(3))
    return train, validation, test


@functools.lru_cache(maxsize=1)
def _read_molpcba(folder: str) -> tuple[Graphs, Graphs, Graphs]:
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    sets = []
    for name in ("train", "validation", "test"):
        nodes, edges, labels = [], [], []
        for example in tfds.as_numpy(builder.as_dataset(split=name)):
            nodes.append(example["node_feat"])
            edges.append(example["edge_index"].astype(np.int32))
            labels.append(example["labels"])
        sets.append(Graphs(Ragged.of(nodes), Ragged.of(edges), np.stack(labels)))
    train, validation, test = sets
    return train, validation, test
