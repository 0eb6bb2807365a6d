"""The paper, claim by claim, with our numbers: `docs/paper.md`, made from records alone.

    docs/results/NAME.json     what a study's runs, or an experiment's results, came to
    recipes.paper.rows_*       the claims: what the paper says, and which checks judge it
    docs/paper.md, .png        the page and its figure: a function of the two

`python -m recipes.paper --commands` says which commands make the studies, under which names they
belong here, and what they cost. When one has run:

    python -m tuning.rho_search digits --seeds 10 --output runs/digits
    python -m recipes.paper --add runs/digits --as digits      # docs/results/digits.json and page
    python -m recipes.theory.stability
    python -m recipes.paper --add runs/theory/stability --as stability
    python -m recipes.paper                                    # docs/paper.md and .png alone
    python -m recipes.paper --check                            # are they those of the records?

A result file is strict JSON:

    {"commands": ["python -m ..."],       that make it, with every setting that is not the default
     "missing": 0,                        how many of their runs are not in it
     "shared": {"config.recipe": ...},    what all entries have in common, by dotted names
     "columns": ["config.width", ...],    what they differ in
     "rows": [[0.1, ...], ...]}           one a run

An entry is a line of the records (`recipes.running.records`) or of an experiment's results
(`recipes.running.experiment`) with the names of nested values joined by dots: `config.*` or
`setting.*`, `environment.*`, `seconds`, and what was measured. Of curves nothing is kept of a run,
and of an experiment's list of numbers `first`, `last`, `least`, `most` and `count`, of those that
are finite.
"""
