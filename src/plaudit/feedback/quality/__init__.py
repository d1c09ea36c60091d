"""Which labels to trust: what annotators do, how far each can be relied on, and what to do about it."""
