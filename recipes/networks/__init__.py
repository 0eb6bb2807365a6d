"""Networks of the paper's workloads, scaled in width: from a seed to a `keras.Model` of logits."""

from recipes.networks.batch_normalization import BatchNormalization
from recipes.networks.mlp import mlp
from recipes.networks.position_embedding import PositionEmbedding
from recipes.networks.resnet import resnet18, resnet50
from recipes.networks.vit import vit

__all__ = ["BatchNormalization", "PositionEmbedding", "mlp", "resnet18", "resnet50", "vit"]
