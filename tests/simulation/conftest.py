"""The emulators that the model is held to: those of the tests of AWS calls."""

from __future__ import annotations

from tests.aws.conftest import aws, emulator_url, settings, tenant

__all__ = ["aws", "emulator_url", "settings", "tenant"]
