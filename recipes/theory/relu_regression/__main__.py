"""The command line of `recipes.theory.relu_regression`."""

from recipes.running.experiment import Experiment
from recipes.running.runtime import place
from recipes.theory import relu_regression
from recipes.theory.relu_regression.measure import Setting, measure
from recipes.theory.relu_regression.report import figure, line, table

EXPERIMENT = Experiment(
    name="theory/relu_regression",
    module="recipes.theory.relu_regression",
    description=relu_regression.__doc__,
    setting=Setting,
    grid={"neurons": (10, 100), "rho": (0.0, 0.1, 0.3)},
    measure=measure,
    line=line,
    table=table,
    figure=figure,
    quick={"rho": (0.0, 0.3), "steps": 500, "seeds": 2},
    seeds=3,
    environment=place,
)

if __name__ == "__main__":
    EXPERIMENT.main()
