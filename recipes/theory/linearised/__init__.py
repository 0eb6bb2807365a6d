"""What is SAM worth where a network behaves like its linearisation? After Chizat et al. 2019.

The loss is `1/alpha^2 mean 1/2 ||alpha (f(w) - f(w0)) - y||^2`, y one-hot less 0.1: the larger
alpha, the less the weights have to move, and the more the network is the linear model of its
tangent. How linear a run was says the stability of activations: the share of hidden ReLUs, over
test examples, that are as they were at w0.

Claim:   Appendix C: in the linearised regime, large alpha, SAM is worse than SGD by more than 10
         points; and with large rho no alpha brings the stability of activations to 1.
Shows:   With a caveat (docs/theory.md says what was measured). It is so at a fixed rho, because
         weights move by O(1 / alpha) and a normalised perturbation stays rho long. With rho / alpha
         SAM loses nothing, and for a linear model its course is then the same for every alpha.
Cost:    15 s on two CPU cores; no download. The paper's own setting, a VGG-11 on all of CIFAR-10
         (here without batch normalisation, with which f(w) - f(w0) would not be 0 at
         w0), takes a GPU: `--dataset cifar10 --train-size 50000 --epochs 100 --batch-size 128`.
Command: python -m recipes.theory.linearised
"""
