"""`python -m coatcheck_worker.runner`: a runner that imports the handlers itself. A forkserver starts it."""

from __future__ import annotations

import argparse
import os

from coatcheck.authoring.loading import load_handlers, load_job_types
from coatcheck_worker.runner.forkserver import named_modules, run_as_runner
from coatcheck_worker.runner.s3_transport import SignedS3Transport


def main() -> None:
    """Import the handlers and serve them."""
    parser = argparse.ArgumentParser(prog="python -m coatcheck_worker.runner")
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--output", type=int, required=True)
    parser.add_argument("--memory", type=int, required=True)
    parser.add_argument("--scratch", required=True)
    options = parser.parse_args()
    handlers = load_handlers(load_job_types(named_modules()))
    run_as_runner(
        options.channel,
        options.output,
        handlers,
        SignedS3Transport(),
        megabytes=options.memory,
        scratch=options.scratch,
    )
    os._exit(0)


if __name__ == "__main__":
    main()
