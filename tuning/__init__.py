"""Studies of rho by KerasTuner."""

import recipes as recipes  # Before TensorFlow is imported: see there.
