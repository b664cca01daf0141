"""Sends requests to DynamoDB, SQS and Secrets Manager without an SDK (docs/adr/0160)."""
