"""Schedules of rho: when there is a perturbation, and how far it goes.

Each is a `keras.optimizers.schedules.LearningRateSchedule` of the optimizer's updates, as any other
that SAMModel takes for `rho`. At a step where rho is 0 no second gradient is computed.

    Every(rho, k)                               rho at every k-th update, else 0
    Late(rho, start)                            0 before `start`, rho from then on
    Follow(learning_rate, rho_min, rho_max)     between the two as the learning rate is
"""

from keras_sam.schedules.every import Every
from keras_sam.schedules.follow import Follow
from keras_sam.schedules.late import Late

__all__ = ["Every", "Follow", "Late"]
