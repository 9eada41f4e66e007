"""Training one trial: batches, steps, evaluations and the regulariser's health."""
