"""`coatcheck logs`: what the components of a deployment have logged of one job."""
