"""How sharp are the minima? SGD and SAM over a grid of rho, on a perceptron fitted to few examples.

The setting of the theory: squared loss 1/2 ||f(x) - onehot(y)||^2, a constant learning rate eta, no
momentum, no weight decay, unnormalised SAM (e = rho g), training until the loss is near zero. Then,
over the training examples: the largest eigenvalue and the trace of the Hessian, and s_2 to s_4, the
non-uniformity of the examples' Hessians, beside what Eq. 7 allows (`recipes.theory.stability`).

Claim:   SAM's minima are flatter and more uniform, the more so the larger rho. Gradient descent at
         a minimum is stable along a curvature lambda only if eta lambda < 2; the same step with SAM
         multiplies a deviation by 1 - eta lambda (1 + rho lambda), and is stable only if
             eta lambda (1 + rho lambda) < 2.
         Training drives lambda_max up towards these limits, the edge of stability.
Cost:    MNIST through tensorflow-datasets, of which 1,000 images are trained on; a run
         takes three minutes of one CPU core, of which there are 25 by default. With --quick no
         download, and half a minute.
Command: python -m recipes.minima
"""
