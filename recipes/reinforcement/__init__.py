"""Reinforcement learning by PPO: games, rollouts in NumPy, and a `Training` for recipes.

SAM enters as anywhere else: an iteration is a rollout and one `SAMModel.fit` over it.
"""
