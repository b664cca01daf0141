"""`python -m coatcheck_worker.runner`: a runner that imports the handlers itself. A forkserver starts it."""

from __future__ import annotations

import os

from coatcheck.authoring.loading import load_handlers, load_job_types
from coatcheck_worker.runner.forkserver import RunnerOptions, named_modules, run_as_runner
from coatcheck_worker.runner.s3_transport import SignedS3Transport


def main() -> None:
    """Import the handlers and serve them."""
    options = RunnerOptions.parse()
    run_as_runner(options, load_handlers(load_job_types(named_modules())), SignedS3Transport())
    os._exit(0)


if __name__ == "__main__":
    main()
