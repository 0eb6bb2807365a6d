"""The command line of `recipes.theory.convergence`."""

from recipes.running.experiment import Experiment, one_by_one
from recipes.theory import convergence
from recipes.theory.convergence.least_squares import PROBLEMS
from recipes.theory.convergence.measure import Setting, measure
from recipes.theory.convergence.report import figure, line, table

EXPERIMENT = Experiment(
    name="theory/convergence",
    module="recipes.theory.convergence",
    description=convergence.__doc__,
    setting=Setting,
    grid={
        "problem": PROBLEMS,
        "batch_size": (1, 2, 3),
        "rhos_relative": (0.0, 0.25, 0.5, 0.9),
    },
    measure=one_by_one(measure),
    line=line,
    table=table,
    figure=figure,
    quick={"batch_size": (1, 2), "seeds": 3},
    seeds=10,
)

if __name__ == "__main__":
    EXPERIMENT.main()
