"""The preflight, before the first trial: checks that the largest configuration fits the memory, and forecasts time and cost."""
