"""Learning from preferences: one algorithm a file (reward, ppo, rloo, grpo); they share `losses` and `rollouts`."""
