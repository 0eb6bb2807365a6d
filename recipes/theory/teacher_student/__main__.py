"""The command line of `recipes.theory.teacher_student`."""

from recipes.running.experiment import Experiment
from recipes.running.runtime import place
from recipes.theory import teacher_student
from recipes.theory.teacher_student.measure import Setting, measure
from recipes.theory.teacher_student.report import figure, line, table

EXPERIMENT = Experiment(
    name="theory/teacher_student",
    module="recipes.theory.teacher_student",
    description=teacher_student.__doc__,
    setting=Setting,
    grid={"width": (100, 300, 1000), "rho": (0.0, 0.05, 0.1, 0.2)},
    measure=measure,
    line=line,
    table=table,
    figure=figure,
    quick={"width": (100, 300), "rho": (0.0, 0.2), "epochs": 10, "seeds": 2},
    seeds=4,
    environment=place,
)

if __name__ == "__main__":
    EXPERIMENT.main()
