"""The parameters of paths, as FastAPI's routes declare them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

JobId = Annotated[str, Path(description="a job's id", examples=["job_0h2j4kq8c5v1m9d3s7n6p0r4t0"])]

UploadId = Annotated[str, Path(description="an upload's id", examples=["upl_0h2j4kq8c5v1m9d3s7n6p0r4t0"])]

EndpointId = Annotated[str, Path(description="a webhook endpoint's id", examples=["whe_0h2j4kq8c5v1m9d3s7n6p0r4t0"])]

DeliveryId = Annotated[str, Path(description="a delivery's id", examples=["dlv_0h2j4kq8c5v1m9d3s7n6p0r4t0"])]
