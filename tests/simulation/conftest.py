"""The emulators that the model is held to: those of the tests of AWS calls."""

from __future__ import annotations

from tests.aws.conftest import aws, deployment, emulator_url, tenant

__all__ = ["aws", "deployment", "emulator_url", "tenant"]
