"""`coatcheck limits`: shows and changes the limits of tenants, for the owner of a deployment."""
