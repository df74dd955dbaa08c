"""The alternating direction method of multipliers, for losses with a kink."""
