"""Small files of the form that prepared arrays have."""

import numpy as np


def text(strings):
    return np.frombuffer("\n".join(strings).encode(), np.uint8)


def write_brown(folder, sentences=(60, 20, 10), types=30, tags=4, seed=0):
    """A corpus in which a word's tag is its number modulo the number of tags."""
    random = np.random.default_rng(seed)
    count = sum(sentences)
    lengths = random.integers(1, 12, size=count).astype("int32")
    words = random.integers(types, size=lengths.sum()).astype("uint16")
    arrays = {
        "word": words,
        "tag": (words % tags).astype("uint8"),
        "universal": (words % 2).astype("uint8"),
        "length": lengths,
        "split": np.repeat([0, 1, 2], sentences).astype("uint8"),
        "vocabulary": text([f"w{index}" for index in range(types)]),
        "tags": text([f"t{index}" for index in range(tags)]),
        "universal_tags": text(["even", "odd"]),
    }
    (folder / "text").mkdir(parents=True, exist_ok=True)
    np.savez(folder / "text" / "brown_pos.npz", **arrays)
    return arrays


def write_molecules(folder, graphs=900, seed=0):
    """Paths of atoms with two properties: their length, half of it unknown, and one too rare."""
    random = np.random.default_rng(seed)
    atoms = random.integers(1, 14, size=graphs).astype("uint8")
    bonds = (atoms - 1).astype("uint8")
    y = np.stack([atoms, atoms], axis=1).astype("float32")
    y[random.random(graphs) < 0.3, 0] = np.nan
    y[10:, 1] = np.nan
    inside = np.concatenate([np.arange(bond) for bond in bonds])
    sets = np.array([0] * (graphs * 8 // 10) + [1] * (graphs // 10) + [2] * (graphs // 10), "uint8")
    arrays = {
        "atoms": atoms,
        "bonds": bonds,
        "atom_features": random.integers(5, size=(atoms.sum(), 9)).astype("uint8"),
        "edges": np.stack([inside, inside + 1], axis=1).astype("uint8"),
        "y": y,
        "scaffold_split": sets,
        "random_split": random.permutation(sets),
    }
    (folder / "graphs").mkdir(parents=True, exist_ok=True)
    np.savez(folder / "graphs" / "molecules.npz", **arrays)
    return arrays
