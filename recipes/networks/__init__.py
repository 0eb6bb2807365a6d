"""Networks of the paper's workloads, scaled in width: from a seed to a `keras.Model` of logits."""

from recipes.networks.batch_normalization import BatchNormalization
from recipes.networks.embedding import Embedding
from recipes.networks.graph_convolution import graph_convolution
from recipes.networks.lstm import lstm
from recipes.networks.minatar_cnn import minatar_cnn
from recipes.networks.mlp import mlp
from recipes.networks.nature_cnn import nature_cnn
from recipes.networks.position_embedding import PositionEmbedding
from recipes.networks.resnet import resnet18, resnet50
from recipes.networks.sinusoidal_positions import SinusoidalPositions
from recipes.networks.transformer_tagger import transformer_tagger
from recipes.networks.vit import vit

__all__ = [
    "BatchNormalization",
    "Embedding",
    "PositionEmbedding",
    "SinusoidalPositions",
    "graph_convolution",
    "lstm",
    "minatar_cnn",
    "mlp",
    "nature_cnn",
    "resnet18",
    "resnet50",
    "transformer_tagger",
    "vit",
]
