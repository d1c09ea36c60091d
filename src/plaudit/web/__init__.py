"""The labelling app: people sign in, read the guidelines, rank and write answers; leads see which labels to trust.

It never loads a model, nor anything heavy: `plaudit label` serves its first page in under two seconds.
"""
