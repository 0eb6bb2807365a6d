"""SAM on ImageNet, a ResNet-50 whose first stage has `width` filters, as in the paper.

Claim:   with SAM, wider networks gain more over SGD: in the paper 0.03 points of accuracy at 2.0M
         parameters (16 filters), 0.54 points at 25.6M (64 filters).
Cost:    ImageNet prepared by tensorflow-datasets from the archives of image-net.org; 90 epochs are
         days on one GPU. --quick keeps 5 epochs of 20,000 images.
Command: python -m recipes.imagenet_resnet50 --rho 0.05 --mixed-precision bfloat16 --seed 0
"""

from recipes import command_line
from recipes.config import RunConfig
from recipes.recipe import Recipe

RECIPE = Recipe(
    name="imagenet_resnet50",
    default=RunConfig(
        dataset="imagenet2012",
        network="resnet50",
        width=64,
        validation_split=0.01,
        epochs=90,
        batch_size=512,
        learning_rate=0.2,
        weight_decay=1e-4,
        schedule="cosine",
        warmup_steps=5000,
    ),
    quick={
        "width": 16,
        "epochs": 5,
        "take": 20_000,
        "batch_size": 128,
        "learning_rate": 0.05,
        "warmup_steps": 40,
        "validation_split": 0.1,
    },
    widths=(16, 32, 48, 64),
)

if __name__ == "__main__":
    command_line.main(RECIPE, __doc__)
