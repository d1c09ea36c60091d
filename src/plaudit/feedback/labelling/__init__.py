"""How people are asked: who gets which task next, how an answer is kept, taken back or withdrawn."""
