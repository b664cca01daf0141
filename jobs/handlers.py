"""The handlers of this deployment. The worker reads this page."""

from coatcheck import handlers
from jobs import demo, images, tables

HANDLERS = handlers(tables.query, images.thumbnails, demo.sleep, demo.make_bytes)
