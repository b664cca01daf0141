"""MiniStack with patches where it differs from AWS. Its own interpreter runs this; no other code of ours imports it."""
