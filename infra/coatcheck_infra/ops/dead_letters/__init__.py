"""`coatcheck dlq`: lists and redrives dead letters, for the owner of a deployment."""
