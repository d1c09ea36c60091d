"""Learning from preferences: one algorithm a file (reward, ppo, rloo); `losses` and `rollouts` are what they share."""
