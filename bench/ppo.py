"""An iteration of PPO with a critic beside TRL's last: 8 prompts, 4 answers to each, 48 tokens, one pass over them.

As `rloo`, with a critic on both sides. Plaudit's is an adapter on the same trunk that begins as the reward model; TRL
1.9.2 trains a second model in full, as it knows no other way.
"""

from __future__ import annotations

from bench import Row
from bench._peers import Side
from bench._workload import fastest_dtype
from bench.rloo import compare

SEEDS = (0,)
MEMORY = "<= 0.3"


def main(quick: bool) -> list[Row]:
    peer = Side(f"TRL 1.9.2 PPO in {fastest_dtype()}", "trl_ppo.py", {"rows": 8, "at_once": 8}, "trl-1.9.2")
    return compare("ppo", peer, quick, MEMORY)
