"""Which rho, and how much does SAM gain over SGD, at each width of a network?

Claim:   on the 8x8 digits SAM gains on SGD at most widths, and the best rho grows with width.
Cost:    two minutes on two CPU cores for the defaults; no download.
Command: python -m tuning.rho_search digits

For each width, SGD (rho 0) and every rho is trained at several seeds; the best rho is chosen on
validation data, and its gain is reported on test data. Stop it at any time: the same command goes
on from there.

Several machines: start the same command on each, with a shared --output and the environment
variables KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT (of the chief) and KERASTUNER_TUNER_ID,
which is "chief" on one machine and different on all others.
"""

from tuning.command_line import main

if __name__ == "__main__":
    main(__doc__)
