"""Which method of the SAM family, when computation is scarce? All of them on one workload.

Every method trains the same networks on the same batches, over the same grid of rho (in units of
its own: SAM's 0.1 is 1.5 for msam, 0.5 for ASAM); its rho is the one with the best mean validation
metric. Beside the gain over the plain optimizer, paired by seed, stands the time until a method's
validation metric is as good as the plain optimizer's ever gets, in units of the time which that
takes the plain optimizer itself.

Claim:   two gradients a step are not needed for most of SAM's gain.
Cost:    on digits no download, a few minutes on two CPU cores; half a minute with --quick. The
         command below takes half an hour or more.
Command: python -m recipes.methods --recipe mnist --label-noise 0.4 --take 10000 --epochs 30
"""
