"""The command line of `recipes.theory.matrix_factorization`."""

from recipes.running.experiment import Experiment
from recipes.theory import matrix_factorization
from recipes.theory.matrix_factorization.measure import STEPS, Setting, measure
from recipes.theory.matrix_factorization.report import figure, line, table

EXPERIMENT = Experiment(
    name="theory/matrix_factorization",
    module="recipes.theory.matrix_factorization",
    description=matrix_factorization.__doc__,
    setting=Setting,
    grid={"rank": (2, 4, 6, 10), "step": STEPS, "rho": (0.01, 0.05, 0.1)},
    measure=measure,
    line=line,
    table=table,
    figure=figure,
    quick={"rank": (4, 10), "rho": (0.1,), "epochs": 40, "seeds": 2},
    seeds=3,
)

if __name__ == "__main__":
    EXPERIMENT.main()
