"""The event log, which is the truth, and the tables that are projections of it (docs/decisions/0002)."""
