"""Does SAM's gain grow with the width? A student network learns a teacher of the same kind.

The teacher has 100 inputs and 10 ReLUs; the student m ReLUs, 102 m + 1 parameters: 10,201 to
102,001 for m from 100 to 1000, the paper's range. Squared loss, momentum 0.9, a learning rate that
is divided by 10 at half and at three quarters of the epochs, normalised SAM.

Claim:   Figure 1: SAM's gain in test loss grows with the number of parameters (.026 to .083).
Shows:   With a caveat (docs/theory.md says what was measured). SAM gains at every size and radius;
         at the last epoch more on larger networks, much as in the paper; at the epoch that is
         selected on validation data hardly more: SGD overfits after its best epoch, the more so the
         larger the network.
Cost:    35 s on two CPU cores; no download.
Command: python -m recipes.theory.teacher_student
"""
