"""The command line of `recipes.theory.stability`."""

from recipes.running.experiment import Experiment, one_by_one
from recipes.theory import stability
from recipes.theory.stability.measure import Setting, measure
from recipes.theory.stability.report import figure, line, table

EXPERIMENT = Experiment(
    name="theory/stability",
    module="recipes.theory.stability",
    description=stability.__doc__,
    setting=Setting,
    grid={
        "kind": ("rank1", "wishart", "commuting", "heavy"),
        "batch_size": (1, 2, 4),
        "rho": (0.0, 0.1, 0.3, 3.0),
    },
    measure=one_by_one(measure),
    line=line,
    table=table,
    figure=figure,
    quick={"kind": ("rank1", "wishart", "commuting"), "batch_size": (1, 2), "seeds": 4},
    seeds=10,
)

if __name__ == "__main__":
    EXPERIMENT.main()
