"""`coatcheck dlq`: what was put aside, for the owner of a deployment to look at and to bring back."""
