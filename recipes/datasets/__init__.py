"""Datasets that recipes are made of: each function takes a `Split` and returns a `Data`."""
