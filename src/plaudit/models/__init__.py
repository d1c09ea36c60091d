"""Language models: where they come from (catalog), the shared trunk with its adapters, and how answers are sampled."""
