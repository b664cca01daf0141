"""The sweeper: does what is overdue by the rows' `due_at`. It may run twice at once and stop anywhere."""

from worker.sweep.jobs import attend
from worker.sweep.passes import SWEEP_THREADS, sweep
from worker.sweep.share import Share, ShareMessage, Starts, shards_of

__all__ = ["SWEEP_THREADS", "Share", "ShareMessage", "Starts", "attend", "shards_of", "sweep"]
