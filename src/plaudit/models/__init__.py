"""Language models: where they come from (catalog), the shared trunk with its adapters, and how answers are sampled."""

from plaudit.models.processor import wait_as_others_allow

wait_as_others_allow()  # here, because it has to come before anything of this package loads torch
