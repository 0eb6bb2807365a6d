"""The command line of `recipes.theory.signal_noise`."""

from recipes.running.experiment import Experiment
from recipes.theory import signal_noise
from recipes.theory.signal_noise.measure import Setting, measure
from recipes.theory.signal_noise.report import figure, line, table

EXPERIMENT = Experiment(
    name="theory/signal_noise",
    module="recipes.theory.signal_noise",
    description=signal_noise.__doc__,
    setting=Setting,
    grid={
        "dimension": (200, 1000, 10_000),
        "signal": (0.5, 1.0, 2.0, 4.0, 8.0),
        "width": (10,),
        "rho": (0.0, 0.03),
        "rho_power": (0.0,),
    },
    measure=measure,
    line=line,
    table=table,
    figure=figure,
    quick={"dimension": (200, 1000), "signal": (1.0, 2.0, 4.0), "max_epochs": 400, "seeds": 2},
    seeds=5,
)

if __name__ == "__main__":
    EXPERIMENT.main()
