"""The job types of the example project, and their handlers."""

from __future__ import annotations

from coatcheck.authoring.loading import load_handlers, load_job_types

MODULES = ("jobs.tables", "jobs.thumbnails", "jobs.demo")
CATALOG = load_job_types(MODULES)
HANDLERS = load_handlers(CATALOG)
