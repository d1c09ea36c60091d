"""A panel of simulated annotators, the utility that they share, and prompts to try the whole loop on."""
