"""The sweeper: processes rows whose `due_at` has passed. It may run twice at once and stop anywhere."""

from coatcheck_worker.sweep.jobs import process_job
from coatcheck_worker.sweep.passes import SWEEP_THREADS, sweep
from coatcheck_worker.sweep.shard_assignment import ShardAssignment, ShardAssignmentMessage, ShardCursors, shards_of

__all__ = [
    "SWEEP_THREADS",
    "ShardAssignment",
    "ShardAssignmentMessage",
    "ShardCursors",
    "process_job",
    "shards_of",
    "sweep",
]
