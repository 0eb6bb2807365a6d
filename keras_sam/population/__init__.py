"""Many members of one architecture, trained as one model. `population.py` is where to begin."""

from keras_sam.population.member import Member
from keras_sam.population.population import Population

__all__ = ["Member", "Population"]
