"""What training costs."""

import recipes as recipes  # Before TensorFlow is imported: it switches oneDNN on.
