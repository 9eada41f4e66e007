"""Checks a machine or cluster before a search: what would stop it, and what to do about each problem."""
