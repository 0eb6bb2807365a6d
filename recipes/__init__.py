"""Workloads, and how studies of them are carried out."""

import os
import sys

# What TensorFlow leaves off on many CPUs, where it halves a convolution's time; and its start-up
# lines. It reads both when it is imported, and what the user has set stands.
if "tensorflow" not in sys.modules:
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# JAX reads this one then: what it shares out over devices (populations) is one a core.
if "jax" not in sys.modules and "device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(os.cpu_count() or 1))
