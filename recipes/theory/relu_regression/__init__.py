"""Are SAM's functions simpler? One-hidden-layer ReLU networks fitted to a few points of a line.

Full-batch training with the squared loss and a constant learning rate, gradient descent and
normalised SAM, few neurons and many. How bent the function is says the total variation of f' on
[-1, 1], for the target, a triangle, 4; kinks are counted once those that lie together are merged.

Claim:   With many neurons SAM finds simpler functions than gradient descent, with few about the
         same ones: what SAM does needs overparameterisation.
Shows:   With a caveat (docs/theory.md says what was measured). With 100 neurons SAM has half the
         kinks and less total variation, with 10 the same; with 10 hardly a barrier lies between its
         weights and gradient descent's, with 100 a high one. But the functions are about as far
         from gradient descent's at both widths, and SAM fits this target worse.
Cost:    11 s on two CPU cores; minutes on PyTorch, which takes each step by itself.
Command: python -m recipes.theory.relu_regression
"""
