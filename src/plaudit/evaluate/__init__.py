"""Is the aligned policy any better? Win rates, overlap with references, and what the answers look like as text."""
