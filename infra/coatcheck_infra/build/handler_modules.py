"""Prints, as a JSON list, the modules of the handlers that job types name by reference.

`python -m coatcheck_infra.build.handler_modules MODULE…`, in the project's root. It imports the modules with the job
types, and not those of the handlers.
"""

from __future__ import annotations

import json
import sys

from coatcheck.authoring.loading import JobTypeError, load_job_types


def main() -> str | None:
    """Print the modules. Returns one line on what is wrong with a job type, or None."""
    try:
        job_types = load_job_types(sys.argv[1:])
    except JobTypeError as wrong:
        return str(wrong)
    references = {one.handler.partition(":")[0] for one in job_types.values() if isinstance(one.handler, str)}
    print(json.dumps(sorted(references)))
    return None


if __name__ == "__main__":
    sys.exit(main())
