"""Human feedback: what is shown to people, what they said, and what it means together. Never imports torch.

Each folder or file here imports only from those above it in this list (tests/test_layers.py):

events         the event log and the tables that are made from it
labelling      what the project asks, who gets which task next, how an answer is taken in, taken back or withdrawn
store.py       the one way in: everything that is read or written goes through `FeedbackStore`
aggregate.py   from judgements to preferences
quality        what annotators do, how far each is reliable, and what to do about it
exchange       imports and exports
simulated      a panel of simulated annotators and the utility behind their choices
terminal.py    asking the person at the terminal
"""
