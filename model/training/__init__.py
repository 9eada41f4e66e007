"""Training a trial: batches, updates, evaluations and the regulariser's health."""
