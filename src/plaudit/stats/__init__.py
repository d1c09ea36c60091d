"""Statistics that every claim rests on: intervals, preference accuracy, calibration, Bradley–Terry, win rates.

Pure functions over NumPy arrays; SciPy is imported where it is called. Import the module you need
(`from plaudit.stats.scored_pairs import win_rate`): the package itself imports nothing.
"""
