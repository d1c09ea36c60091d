"""Plaudit: RLHF end to end, as one tool."""

__version__ = "0.1.0"
