"""`coatcheck keys`: creates, lists, rotates and revokes API keys, for the owner of a deployment."""
