"""Studies: many arms and seeds of one recipe, hypotheses registered before the first run, verdicts from results."""
