"""`coatcheck dlq`: dead letters, for the owner of a deployment to list and redrive."""
