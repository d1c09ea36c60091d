"""The stages of the loop: each reads the runs before it and leaves a Run. One file a stage, and `demo` for all of them.

    sample -> panel -> reward -> align -> evaluate -> report

A stage is `NAME(workspace, config, *, seed, resume=False, model=None) -> Run`. With `resume` it finishes the run that
was cut, by that run's own configuration and seed. `model` shares one loaded model between stages of one process; the
adapters that a stage adds are gone when it returns.
"""

import plaudit.models  # noqa: F401 (settles how threads wait, before a stage loads torch)
