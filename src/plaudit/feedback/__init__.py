"""Human feedback: what is shown to people, what they said, and what it means together. Never imports torch.

the store      store (the door), schema, rows, log, projection, replay, reading, writing, connection, refusals,
               migrations: an append-only log of events, and the tables that are made from it
people         annotator, annotating (their side of the store), queue (what is asked next), leases, qualification,
               submitting, demonstrating, retraction, logbook; ask (in a terminal) and display (texts to be shown)
the lead       project (settings), guidelines, checks (gold and qualification), actions (the audit log),
               withdrawal (of consent), backup
what it means  aggregate (judgements to preferences), choices and columns (a million of them), reliability (how far
               a vote counts), quality with quality_figures, annotator_quality, habits, advice and sentence
in and out     importers with import_*, sources, formats, labelled; export with export_*, tables, card
simulated      panel (annotators who are not people) and utility (what they like), everyday_prompts.jsonl
"""
