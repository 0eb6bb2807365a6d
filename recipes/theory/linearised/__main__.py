"""The command line of `recipes.theory.linearised`."""

from recipes.running.experiment import Experiment
from recipes.running.runtime import place
from recipes.theory import linearised
from recipes.theory.linearised.measure import SCALES, Setting, measure
from recipes.theory.linearised.report import figure, line, table

EXPERIMENT = Experiment(
    name="theory/linearised",
    module="recipes.theory.linearised",
    description=linearised.__doc__,
    setting=Setting,
    grid={"alpha": (1.0, 10.0, 100.0), "rho": (0.0, 0.01, 0.1), "scale": SCALES},
    measure=measure,
    line=line,
    table=table,
    figure=figure,
    quick={
        "alpha": (1.0, 100.0),
        "rho": (0.0, 0.01),
        "train_size": 500,
        "epochs": 5,
        "seeds": 2,
    },
    seeds=3,
    environment=place,
)

if __name__ == "__main__":
    EXPERIMENT.main()
