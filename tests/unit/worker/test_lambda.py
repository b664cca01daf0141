"""The worker's Lambda functions, as far as they need no AWS."""

from __future__ import annotations

from coatcheck_worker import aws_deliverer_lambda


def test_an_empty_batch_of_the_deliverer_is_done() -> None:
    assert aws_deliverer_lambda.deliver({"Records": []}, None) == {"batchItemFailures": []}
