"""The alternating direction method of multipliers: splittings of rows and coefficients."""
