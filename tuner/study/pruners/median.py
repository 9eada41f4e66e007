"""Median pruning (Golovin et al. 2017)."""

from tuner.study.pruners.percentile import percentile_pruner

PRUNER = percentile_pruner(50.0, "stops a trial below the median of the complete ones at the same evaluation")
