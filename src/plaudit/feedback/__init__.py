"""Human feedback: what is shown to people, what they said, and what it means together. Never imports torch."""
