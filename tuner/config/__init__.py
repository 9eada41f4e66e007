"""What a user asks for: options, objective, requirements, budget and the run's folder."""
